// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestProfiles measures the exposure of a task under each profile, and that the
// profile is what the unit has.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		profile string
		most    float64
	}{{"strict", 1.5}, {"default", 3.0}, {"network-off", 3.0}, {"trusted", 5.0}} {
		t.Run(tt.profile, func(t *testing.T) {
			t.Parallel()
			tk := script("echo ready; exec sleep 600")
			tk.Config["profile"] = tt.profile
			j := submit(t, tk)
			j.await("running")
			j.awaitLog("ready")
			out := run(t, "systemd-analyze", "security", "--no-pager", j.unit())
			m := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+)`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("systemd-analyze says:\n%s", out)
			}
			score, err := strconv.ParseFloat(m[1], 64)
			if err != nil || score > tt.most {
				t.Errorf("the exposure is %s, want at most %.1f:\n%s", m[1], tt.most, out)
			}
			t.Logf("profile %s: exposure %s", tt.profile, m[1])
		})
	}
}

// TestDirectivesAreRefusedWithTheReason: what an author reads who asks for too
// much, or makes a mistake.
func TestDirectivesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   []string
	}{
		{"a misspelling", map[string]any{"systemd": map[string]any{"ProtectHostnme": []string{"yes"}}}, []string{"did you mean ProtectHostname?", "comes from systemd.ProtectHostnme in"}},
		{"a wrong value", map[string]any{"umask": "99"}, []string{`UMask: \"99\" is not an octal number`, "comes from umask in the task's config"}},
		{"less than the profile", map[string]any{"systemd": map[string]any{"PrivateDevices": []string{"no"}}}, []string{"PrivateDevices=no", "can only tighten"}},
		{"a directive of no policy", map[string]any{"systemd": map[string]any{"ExecStopPost": []string{"/bin/true"}}}, []string{"no policy can allow it"}},
		{"a directive of another class", map[string]any{"nice": -5}, []string{"Nice=-5", "of class priority", "comes from nice in"}},
		{"a profile of no rule", map[string]any{"profile": "nosuch"}, []string{"nosuch", "profile"}},
		{"a capability that is as good as root", map[string]any{"capabilities": map[string]any{"add": []string{"sys_admin"}}}, []string{"CAP_SYS_ADMIN", "as good as root"}},
		{"a field that needs a newer systemd", map[string]any{"hostname": "web-1"}, []string{"ProtectHostname=", "needs systemd 258, and this host has "}},
		{"a value that needs a newer systemd", map[string]any{"systemd": map[string]any{"PrivateUsers": []string{"full"}}}, []string{"PrivateUsers=full", "needs systemd 258, and this host has "}},
		{"a directive that is newer than the broker", map[string]any{"systemd": map[string]any{"BindNetworkInterface": []string{"lo"}}}, []string{"BindNetworkInterface=lo", "newer than what", "systemd 260"}},
		{"privileges", map[string]any{"no_new_privileges": false}, []string{"cannot be turned off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tk := script("echo ready")
			tk.Type = "batch"
			maps.Copy(tk.Config, tt.config)
			j := submit(t, tk)
			text := strings.ReplaceAll(j.messages(j.await("failed")), `"`, `\"`)
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("no event has %s:\n%s", want, text)
				}
			}
		})
	}
}
