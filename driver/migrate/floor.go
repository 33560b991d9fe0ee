// SPDX-License-Identifier: MPL-2.0

package migrate

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// What no policy can allow, as far as jobs of other drivers ask for it. The tables
// repeat those of the broker, which the driver is not linked with; a test compares
// the two.

// capabilities are those that a task can have; with others it would be as good as root.
var capabilities = []string{
	"net_bind_service", "net_broadcast", "net_raw", "net_admin", "ipc_lock", "sys_nice",
	"kill", "lease", "wake_alarm", "block_suspend", "sys_time", "perfmon",
}

// closed are directories that no task has of the host, closedToWriting those that none
// writes to.
var (
	closed          = []string{"/boot", "/dev", "/etc/systemd-brokerd", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp", allocRoot}
	closedToWriting = []string{
		"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/root", "/sbin", "/usr",
		"/var/cache", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd", "/var/log", "/var/spool",
	}
	closedDevices = []string{
		"/dev/console", "/dev/fd", "/dev/initctl", "/dev/kmem", "/dev/kmsg", "/dev/mem", "/dev/mqueue", "/dev/nvram", "/dev/port", "/dev/shm", "/dev/uinput",
	}
)

// Of the client in the policy that is installed first.
const (
	allocRoot  = "/var/lib/nomad/alloc"
	clientUser = "nomad"
)

// within is which of dirs holds p, or lies in it; empty if none does.
func within(dirs []string, p string) string {
	i := slices.IndexFunc(dirs, func(dir string) bool {
		return p == "/" || p == dir || strings.HasPrefix(p, dir+"/") || strings.HasPrefix(dir, p+"/")
	})
	if i < 0 {
		return ""
	}
	return dirs[i]
}

// What a policy can be written with.
var (
	pathPattern = regexp.MustCompile(`\A/[A-Za-z0-9._@+=,/-]+\z`)
	userPattern = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_.-]{0,31}\z`)
)

func writable(p string) bool {
	return pathPattern.MatchString(p) && path.Clean(p) == p && len(p) < 4096
}
