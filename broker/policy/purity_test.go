// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPackageTouchesNothing keeps the package what its doc says it is, a pure
// function: it can neither reach the host nor look at a clock by itself.
func TestPackageTouchesNothing(t *testing.T) {
	allowed := []string{
		"bytes", "crypto/sha256", "embed", "encoding/hex", "errors", "fmt", "io", "io/fs", "maps", "path", "regexp", "slices",
		"strconv", "strings", "unicode", "unicode/utf8",
		"github.com/hashicorp/hcl/v2", "github.com/hashicorp/hcl/v2/hclsyntax",
		"nomad-systemd-driver/broker/directive",
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no files: %v", err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil || !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s, want only packages that compute", path, spec.Path.Value)
			}
		}
	}
}
