// SPDX-License-Identifier: MPL-2.0

package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// TestProgramThatOthersCanChange is not what the policy allows.
func TestProgramThatOthersCanChange(t *testing.T) {
	h := &Host{t.TempDir(), uint32(os.Getuid())}
	at := func(p string) string { return filepath.Join(h.Base, p) }
	for _, dir := range []string{"usr/bin", "usr/local/bin", "etc/alternatives", "opt/theirs"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"usr/bin/good", "usr/bin/open", "usr/local/bin/x", "opt/theirs/x"} {
		if err := os.WriteFile(at(file), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"usr/bin/java": "/etc/alternatives/java", "etc/alternatives/java": "../../usr/bin/good", "usr/bin/beside": "good",
		"usr/bin/theirs": "/opt/theirs/x", "usr/bin/loop": "loop", "usr/bin/gone": "/nowhere", "usr/link": "bin",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{"usr/bin/open": 0o757, "usr/local/bin": 0o775, "opt/theirs": 0o777 | os.ModeSticky} {
		if err := os.Chmod(at(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]struct{ at, err string }{
		"/usr/bin/good":    {"", ""},
		"/usr/bin/beside":  {"", ""},
		"/usr/link/java":   {"", ""},
		"/usr/bin/open":    {"/usr/bin/open", ""},
		"/usr/local/bin/x": {"/usr/local/bin", ""},
		"/usr/bin/theirs":  {"/opt/theirs", ""},
		"/usr/bin/loop":    {"", "too many symlinks"},
		"/usr/bin/gone":    {"", "/nowhere: no such file"},
		"/usr/bin/none":    {"", "no such file"},
	} {
		got, err := h.Changeable(path)
		if got != want.at || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %q, %v, want %q, %q", path, got, err, want.at, want.err)
		}
	}
	other := &Host{h.Base, h.Owner + 1}
	if got, err := other.Changeable("/usr/bin/good"); got != "/" || err != nil {
		t.Errorf("of somebody else: %q, %v", got, err)
	}
	r := &policy.Request{Command: "/usr/bin/open"}
	if why := h.Refusal(r); !strings.Contains(why, "others than root can change /usr/bin/open") {
		t.Errorf("the refusal is %q", why)
	}
	if why := h.Refusal(&policy.Request{Command: "/usr/bin/good"}); why != "" {
		t.Errorf("a good program is refused: %s", why)
	}
}

func TestWhichProgramsAreOfTheHost(t *testing.T) {
	volume := []policy.Volume{{Source: "/srv/x", Destination: "/usr/lib/x"}}
	for _, row := range []struct {
		r    policy.Request
		want bool
	}{
		{policy.Request{Command: "/usr/bin/id"}, true},
		{policy.Request{Command: "/local/x"}, false},
		{policy.Request{Command: "/opt/x"}, false},
		{policy.Request{Command: "/usr/lib/x/y", Volumes: volume}, false},
		{policy.Request{Command: "/usr/lib/xy", Volumes: volume}, true},
		{policy.Request{Command: "/opt/x", Rootfs: policy.Rootfs{Kind: policy.RootfsHost}}, true},
		{policy.Request{Command: "/local/x", Rootfs: policy.Rootfs{Kind: policy.RootfsHost}}, false},
		{policy.Request{Command: "/usr/bin/id", Rootfs: policy.Rootfs{Kind: policy.RootfsImage}}, false},
	} {
		if got := ofTheHost(&row.r); got != row.want {
			t.Errorf("%+v: %v", row.r, got)
		}
	}
}
