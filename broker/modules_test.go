// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulesGolden = "testdata/modules.golden"

// TestModules holds what "go version -m" says of the program that runs as root: its
// modules with their versions and sums, of which none is replaced, and how it is built.
func TestModules(t *testing.T) {
	program := filepath.Join(t.TempDir(), "systemd-brokerd")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "nomad-systemd-driver/cmd/systemd-brokerd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range info.Deps {
		if m.Replace != nil {
			t.Errorf("%s is replaced by %s", m.Path, m.Replace.Path)
		}
		got = append(got, m.Path+" "+m.Version+" "+m.Sum)
	}
	slices.Sort(got)
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	for key, want := range map[string]string{"CGO_ENABLED": "0", "-trimpath": "true", "-tags": "", "-race": ""} {
		if settings[key] != want {
			t.Errorf("it is built with %s=%q, want %q", key, settings[key], want)
		}
	}
	if *update {
		if err := os.WriteFile(modulesGolden, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(modulesGolden)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("the modules are\n%s\nwant\n%s\nif this is meant: go test ./broker -run TestModules -update, and commit %s",
			strings.Join(got, "\n"), strings.Join(want, "\n"), modulesGolden)
	}
}
