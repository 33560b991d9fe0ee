// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/users"
)

// oddHost is a host whose user database has more ways to answer.
type oddHost struct{ policy.Resolver }

func (h oddHost) User(name string) (policy.User, error) {
	switch name {
	case "cursed":
		return policy.User{}, errors.New("input/output error")
	case "alias":
		return policy.User{Name: "Alias", UID: 1234, GID: 1234}, nil
	}
	return h.Resolver.User(name)
}

// TestMistakesAreExplained loads each testdata/errors/*.hcl, and compares the
// error with the golden file beside it.
func TestMistakesAreExplained(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no policies: %v", err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".hcl"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := policy.Load(fstest.MapFS{name: {Data: text}}, oddHost{host(t)}, nil)
			checkLoadError(t, text, p, err)
			if err != nil {
				golden(t, strings.TrimSuffix(path, ".hcl")+".golden", err.Error()+"\n")
			}
		})
	}
}

// checkLoadError checks what is true of every error in a file.
func checkLoadError(t *testing.T, text []byte, p *policy.Policy, err error) {
	t.Helper()
	var le *policy.LoadError
	if p != nil || !errors.As(err, &le) {
		t.Fatalf("Load = %v, %v, want a *LoadError", p, err)
	}
	summary, rest, _ := strings.Cut(le.Error(), "\n")
	if summary != le.Summary() || strings.ContainsAny(summary, "\r\x00") {
		t.Errorf("the first line is %q, want the summary %q", summary, le.Summary())
	}
	if le.Line == 0 {
		return
	}
	if lines := strings.Count(string(text), "\n") + 1; le.Line > lines || le.Column < 1 {
		t.Errorf("the place is %d:%d in a file of %d lines", le.Line, le.Column, lines)
	}
	shown, mark, _ := strings.Cut(rest, "\n")
	if !strings.Contains(mark, "^") || strings.Count(mark, "\n") > 0 || len(shown) > 1000 {
		t.Errorf("the excerpt is %q, want one line and carets under it", rest)
	}
}

func TestResolverThatCannotAnswerEndsTheLoad(t *testing.T) {
	_, err := policy.Load(fstest.MapFS{"a.hcl": {Data: []byte(oneClient)}}, noGroups{host(t)}, nil)
	if err == nil || !strings.Contains(err.Error(), `cannot look up the group "root": input/output error`) {
		t.Errorf("Load: %v, want an error about the group", err)
	}
}

type noGroups struct{ policy.Resolver }

func (noGroups) Group(string) (uint32, error) { return 0, errors.New("input/output error") }

func TestGroupOfRootIsDangerousByItsNumber(t *testing.T) {
	names, err := users.Parse([]byte(hostPasswd), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(twoRules, `["app"]`, `["rootgroup"]`, 1)
	_, err = policy.Load(fstest.MapFS{"a.hcl": {Data: []byte(text)}}, names, nil)
	if err == nil || !strings.Contains(err.Error(), `it is in group "root" (gid 0)`) {
		t.Errorf("Load on a host without a group of that name: %v, want an error about the group", err)
	}
}

func TestDirectoryWithoutAPolicyIsAnError(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"empty":             {},
		"only other files":  {"README": {}, ".hidden.hcl": {}, "a.hcl~": {}},
		"only a directory":  {"sub/a.hcl": {Data: []byte(oneClient)}},
		"hcl as whole name": {".hcl": {Data: []byte(oneClient)}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Load(fsys, host(t), nil)
			if p != nil || err == nil || !strings.Contains(err.Error(), "holds no file named *.hcl") {
				t.Errorf("Load = %v, %v, want an error that there is no file", p, err)
			}
		})
	}
	if _, err := policy.Load(os.DirFS(filepath.Join(t.TempDir(), "none")), host(t), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of a directory that does not exist: %v, want ErrNotExist", err)
	}
}
