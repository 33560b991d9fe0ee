// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/users"
)

const (
	nomadUID = 991
	allocDir = "/var/lib/nomad/alloc/0a1b2c3d-0000-4000-8000-00000000beef"
)

const hostPasswd = `root:x:0:0:root:/root:/bin/bash
toor:x:0:0:root as well:/root:/bin/bash
daemon:x:1:1::/:/usr/sbin/nologin
www-data:x:33:33::/var/www:/usr/sbin/nologin
nomad:x:991:991::/var/lib/nomad:/usr/sbin/nologin
other:x:992:992::/nonexistent:/usr/sbin/nologin
app:x:1001:1001::/home/app:/bin/sh
systemd-brokerd-keys:x:993:993::/nonexistent:/usr/sbin/nologin
rootgroup:x:1002:0::/:/bin/sh
dockerer:x:1003:1003::/:/bin/sh
diskgroup:x:1004:6::/:/bin/sh
nomadfriend:x:1005:1005::/:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
sixteen:x:65535:65535::/:/bin/sh
huge:x:2147483648:2147483648::/:/bin/sh
squatter:x:2100050000:1001::/:/bin/sh
`

const hostGroup = `root:x:0:
daemon:x:1:
disk:x:6:
www-data:x:33:app
shadow:x:42:
docker:x:998:dockerer
nomad:x:991:nomadfriend
other:x:992:
app:x:1001:
dockerer:x:1003:
nomadfriend:x:1005:
farm:x:2100060000:
media:x:1500:
superuser:x:0:
sixteen:x:65535:
`

// host is the host on which test policies are loaded.
func host(t testing.TB) *users.Users {
	t.Helper()
	u, err := users.Parse([]byte(hostPasswd), []byte(hostGroup))
	if err != nil {
		t.Fatalf("users.Parse: %v", err)
	}
	return u
}

// load loads a policy of one file, 10-test.hcl.
func load(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Load(fstest.MapFS{"10-test.hcl": {Data: []byte(text)}}, host(t), nil)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return p
}

// allowedRequest is a request that the usual rule allows.
func allowedRequest() *policy.Request {
	return &policy.Request{
		ID:      "0a1b2c3d/web/1",
		Name:    []string{"web", "0a1b2c3d"},
		Labels:  map[string]string{"NOMAD_TASK": "web"},
		Command: "/local/web",
		Args:    []string{"--port", "80"},
		Env:     map[string]string{"LANG": "C"},
		Directories: policy.Directories{
			Alloc: allocDir + "/alloc", Local: allocDir + "/web/local", Secrets: allocDir + "/web/secrets",
		},
		Resources:        policy.Resources{CPUWeight: 100, CPUs: []uint32{0, 1}, MemoryLow: 64 << 20, MemoryMax: 128 << 20},
		LogDriver:        policy.LogFDs,
		WorkingDirectory: "/local",
	}
}
