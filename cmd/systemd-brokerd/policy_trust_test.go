// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/program"
)

// TestPolicyThatOthersCanChangeIsRefused: the file, the directory, all that leads there.
func TestPolicyThatOthersCanChangeIsRefused(t *testing.T) {
	const dir, file, profile = "etc/broker/policy.d", "etc/broker/policy.d/a.hcl", "etc/broker/profiles/a.conf"
	for name, row := range map[string]struct {
		path string
		mode os.FileMode
		want string // what can be changed; empty for none
	}{
		"as it is installed":                   {file, 0o644, ""},
		"a file for root only":                 {file, 0o600, ""},
		"a file of a group":                    {file, 0o664, "/" + file},
		"a file of all":                        {file, 0o646, "/" + file},
		"a directory of a group":               {dir, 0o775, "/" + dir},
		"a directory of all, which is sticky":  {dir, 0o777 | os.ModeSticky, "/" + dir},
		"a parent of a group":                  {"etc/broker", 0o775, "/etc/broker"},
		"a parent of all, which is sticky":     {"etc", 0o777 | os.ModeSticky, "/etc"},
		"a profile of a group":                 {profile, 0o664, "/" + profile},
		"a file that is no part of the policy": {dir + "/README", 0o666, ""},
	} {
		t.Run(name, func(t *testing.T) {
			host := &program.Host{Base: t.TempDir(), Owner: uint32(os.Getuid())}
			for _, p := range []string{file, profile, dir + "/README"} {
				whole := filepath.Join(host.Base, p)
				if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(whole, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Join(host.Base, row.path), row.mode); err != nil {
				t.Fatal(err)
			}
			err := checkTrust(host, "/"+dir)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want+" can be changed by others than root")) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			host.Owner++ // all is somebody else's
			if err := checkTrust(host, "/"+dir); err == nil || !strings.Contains(err.Error(), "/ can be changed by others") {
				t.Errorf("of another owner: %v", err)
			}
		})
	}
}

func TestFileOfAnotherOwnerIsRefused(t *testing.T) {
	host := &program.Host{Base: t.TempDir(), Owner: uint32(os.Getuid())}
	path := filepath.Join(host.Base, "a.hcl")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := checkOwner(host, "/a.hcl"); err != nil {
		t.Errorf("of the owner: %v", err)
	}
	host.Owner++
	if err := checkOwner(host, "/a.hcl"); err == nil || !strings.Contains(err.Error(), "/a.hcl can be changed by others than root") {
		t.Errorf("of another owner: %v", err)
	}
	if err := os.Symlink("a.hcl", filepath.Join(host.Base, "b.hcl")); err != nil {
		t.Fatal(err)
	}
	if err := checkOwner(host, "/b.hcl"); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("of a symlink: %v", err)
	}
}
