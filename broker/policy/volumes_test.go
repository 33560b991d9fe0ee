// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

const withVolumes = oneClient + `
rule "r" {
  client      = "nomad"
  log_drivers = ["fds"]
  images      = ["/srv/images"]

  exec {
    any = true
  }

  run_as {
    dynamic_user = true
  }

  volumes {
    read_only  = ["/usr/share/web", "/srv"]
    read_write = ["/srv/data", "/var/lib/app/file"]
  }
}
`

func TestVolumes(t *testing.T) {
	p := load(t, withVolumes)
	tests := []struct {
		name    string
		volumes []policy.Volume
		want    string // in the reason; empty if it is allowed
	}{
		{"none", nil, ""},
		{"one to read", []policy.Volume{{"/srv", "/data", true, false}}, ""},
		{"a part of it", []policy.Volume{{"/srv/a/b", "/data", true, false}}, ""},
		{"one to write", []policy.Volume{{"/srv/data/x", "/data", false, false}}, ""},
		{"a file", []policy.Volume{{"/var/lib/app/file", "/app/file", false, false}}, ""},
		{"one to write, to read", []policy.Volume{{"/var/lib/app/file", "/app/file", true, false}}, ""},
		{"one to read, to write", []policy.Volume{{"/srv/a", "/data", false, false}}, "may only read it"},
		{"what no rule can show", []policy.Volume{{"/tmp/x", "/data", true, false}}, "no rule can let a task see it"},
		{"what no rule lets be written", []policy.Volume{{"/usr/share/x", "/data", false, false}}, "no rule can let a task write to it"},
		{"a name that begins the same", []policy.Volume{{"/srv/database", "/data", false, false}}, "may only read it"},
		{"another", []policy.Volume{{"/home", "/data", true, false}}, "volumes.read_only"},
		{"another to write", []policy.Volume{{"/home", "/data", false, false}}, "volumes.read_write"},
		{"what holds it", []policy.Volume{{"/usr/share", "/data", true, false}}, "volumes.read_only"},
		{"a way out", []policy.Volume{{"/srv/../etc", "/data", true, false}}, "absolute paths without"},
		{"a way out of the view", []policy.Volume{{"/srv", "/data/../etc", true, false}}, "absolute paths without"},
		{"the root", []policy.Volume{{"/srv", "/", true, false}}, "every task's own view"},
		{"a part of the view", []policy.Volume{{"/srv", "/usr", true, false}}, "every task's own view"},
		{"in a part of the view", []policy.Volume{{"/srv", "/local/data", true, false}}, "every task's own view"},
		{"an image", []policy.Volume{{"/srv/images/a", "/data", true, true}}, ""},
		{"an image of no rule", []policy.Volume{{"/srv/data/a", "/data", true, true}}, "images of a rule"},
		{"an image over a part of the view", []policy.Volume{{"/srv/images/a", "/usr", true, true}}, "every task's own view"},
		{"two in one place", []policy.Volume{{"/srv", "/data", true, false}, {"/srv/data", "/data", false, false}}, "same destination"},
		{"one of two", []policy.Volume{{"/srv", "/data", true, false}, {"/home", "/home", true, false}}, "volumes.read_only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := allowedRequest()
			r.Volumes = tt.volumes
			_, err := p.Decide(policy.Peer{UID: nomadUID}, r)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestClosedPlaces: what no rule can open.
func TestClosedPlaces(t *testing.T) {
	for place, list := range map[string]string{
		"/proc/1": "read_only", "/sys": "read_only", "/dev/sda": "read_only", "/run/systemd": "read_only", "/boot": "read_only",
		"/var/lib/nomad/alloc": "read_only", "/var/lib": "read_only", "/var/lib/nomad/alloc/x": "read_write", "/var": "read_write",
		"/etc": "read_write", "/etc/cron.d": "read_write", "/usr/local/bin": "read_write", "/root": "read_write", "/var/log": "read_write",
	} {
		text := strings.Replace(withVolumes, `read_only  = ["/usr/share/web", "/srv"]`, "", 1)
		text = strings.Replace(text, `read_write = ["/srv/data", "/var/lib/app/file"]`, list+` = ["`+place+`"]`, 1)
		if _, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, host(t), nil); err == nil || !strings.Contains(err.Error(), "cannot hold") {
			t.Errorf("%s of %s: got %v", list, place, err)
		}
	}
}

// TestShowable: it says of each directory what a policy that lists it comes to.
func TestShowable(t *testing.T) {
	for _, dir := range []string{"/opt/app", "/etc/app", "/etc", "/run/app", "/var/tmp/x", "/var/lib/nomad/alloc/x", "/var/lib", "/srv", "/usr/share", "/tmp", "/dev/shm"} {
		source, destination := policy.Showable(dir, "/var/lib/nomad/alloc")
		text := strings.Replace(withVolumes, `["/usr/share/web", "/srv"]`, `["`+dir+`"]`, 1)
		p, err := policy.Load(fstest.MapFS{"p.hcl": {Data: []byte(text)}}, host(t), nil)
		if (err == nil) != source {
			t.Errorf("%s: a policy that lists it: %v; source is %t", dir, err, source)
		}
		if err != nil {
			p = load(t, withVolumes)
		}
		r := allowedRequest()
		r.Volumes = []policy.Volume{{Source: "/srv/data", Destination: dir, ReadOnly: true}}
		if _, err := p.Decide(policy.Peer{UID: nomadUID}, r); (err == nil) != destination {
			t.Errorf("%s as a destination: %v; destination is %t", dir, err, destination)
		}
	}
}
