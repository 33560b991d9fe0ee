// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/imports.golden anew")

const importsGolden = "testdata/imports.golden"

// TestImports holds the list of all packages that are linked into the program
// that runs as root: whoever adds one sees it, and so does who reviews it.
func TestImports(t *testing.T) {
	got := imports(t)
	for _, pkg := range got {
		for _, never := range []string{"github.com/hashicorp/nomad", "github.com/hashicorp/go-plugin", "nomad-systemd-driver/driver"} {
			if pkg == never || strings.HasPrefix(pkg, never+"/") {
				t.Errorf("systemd-brokerd links %s, which it must not", pkg)
			}
		}
	}
	if *update {
		if err := os.WriteFile(importsGolden, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(importsGolden)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(golden))
	for _, pkg := range got {
		if !slices.Contains(want, pkg) {
			t.Errorf("systemd-brokerd newly links %s", pkg)
		}
	}
	for _, pkg := range want {
		if !slices.Contains(got, pkg) {
			t.Errorf("systemd-brokerd no longer links %s", pkg)
		}
	}
	if t.Failed() {
		t.Logf("if this is meant: go test ./broker -run TestImports -update, and commit %s", importsGolden)
	}
}

// imports are the packages of cmd/systemd-brokerd as it is built for a host,
// sorted, without the standard library, which changes with each release of Go.
func imports(t *testing.T) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "nomad-systemd-driver/cmd/systemd-brokerd")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("cannot list the imports: %v", err)
	}
	all := strings.Fields(string(out))
	slices.Sort(all)
	return all
}
