// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// generated are values of the forms below, of one line, and of several that add up and
// reset. They are the same each time.
var generated = sync.OnceValue(generate)

func generate() [][]string {
	const rounds = 40
	g := generator{rand.New(rand.NewPCG(1, 2))}
	var all [][]string
	for range rounds {
		for _, form := range []func() string{
			g.size, g.share, g.span, g.number, g.limit, g.cpus, g.octal, g.capabilities, g.calls, g.families,
			g.namespaces, g.prefixes, g.ports, g.device, g.deviceLimit, g.signals, g.paths, g.tmpfs, g.words,
		} {
			all = append(all, []string{form()})
			lines := []string{form(), form()}
			if g.IntN(2) == 0 {
				lines = []string{form(), "", form()}
			}
			all = append(all, lines)
		}
	}
	return all
}

type generator struct{ *rand.Rand }

func (g generator) of(choices ...string) string { return choices[g.IntN(len(choices))] }

// some are so many choices, each of which may come twice.
func (g generator) some(least, most int, separator string, one func() string) string {
	all := make([]string, least+g.IntN(most-least+1))
	for i := range all {
		all[i] = one()
	}
	return strings.Join(all, separator)
}

// pick is some of a few words, with a ~ in front now and then.
func (g generator) pick(words string) string {
	choices := strings.Fields(words)
	return g.of("", "", "~") + g.some(1, 4, " ", func() string { return g.of(choices...) })
}

func (g generator) size() string {
	if g.IntN(4) == 0 {
		return fmt.Sprintf("%d.%d%s", g.IntN(100), g.IntN(1000), g.of("K", "M", "G"))
	}
	return fmt.Sprint(1+g.IntN(5000)) + g.of("", "B", "K", "M", "G", "T")
}

func (g generator) share() string {
	return g.of(fmt.Sprintf("%d%%", 1+g.IntN(250)), fmt.Sprintf("%d.%02d%%", g.IntN(100), g.IntN(100)), fmt.Sprintf("%d‰", 1+g.IntN(1000)))
}

func (g generator) span() string {
	units := strings.Fields("us ms s sec seconds m min minutes h hr hours d days w weeks M months y years")
	return g.some(1, 3, g.of(" ", ""), func() string { return fmt.Sprint(1+g.IntN(90)) + g.of(" ", "") + g.of(units...) })
}

func (g generator) number() string { return fmt.Sprint(g.IntN(4000) - 1000) }

func (g generator) limit() string {
	one := func() string { return g.of(g.size(), g.span(), fmt.Sprint(g.IntN(1000)), "infinity") }
	return one() + g.of("", ":"+one())
}

func (g generator) cpus() string {
	return g.some(1, 4, g.of(" ", ","), func() string {
		from := g.IntN(300)
		return g.of(fmt.Sprint(from), fmt.Sprintf("%d-%d", from, from+g.IntN(20)))
	})
}

func (g generator) octal() string { return fmt.Sprintf("%s%03o", g.of("", "0"), g.IntN(0o1000)) }

func (g generator) capabilities() string {
	return g.pick("CAP_CHOWN CAP_KILL CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_NICE cap_sys_time CAP_IPC_LOCK CAP_BPF CAP_LEASE")
}

func (g generator) calls() string {
	return g.pick("read write openat @mount @swap @clock @system-service ptrace:EPERM mount:ENOENT kexec_load:38 @debug:kill socket chmod")
}

func (g generator) families() string {
	return g.pick("AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK ext4 tmpfs proc @basic-api lo eth0 docker0 br-1.2")
}

func (g generator) namespaces() string { return g.pick("cgroup ipc net mnt pid user uts") }

func (g generator) prefixes() string {
	return g.some(1, 3, " ", func() string {
		return g.of(
			fmt.Sprintf("%d.%d.%d.%d/%d", g.IntN(256), g.IntN(256), g.IntN(256), g.IntN(256), g.IntN(33)),
			fmt.Sprintf("%d.%d.%d.%d", g.IntN(256), g.IntN(256), g.IntN(256), g.IntN(256)),
			fmt.Sprintf("2001:db8:%x::%x/%d", g.IntN(65536), g.IntN(65536), g.IntN(129)),
			"localhost", "link-local", "multicast", "any",
		)
	})
}

func (g generator) ports() string {
	from := 1 + g.IntN(60000)
	return g.of("", "ipv4:", "ipv6:") + g.of("", "tcp:", "udp:") + g.of(fmt.Sprint(from), fmt.Sprintf("%d-%d", from, from+g.IntN(5000)))
}

func (g generator) device() string {
	return g.of("/dev/null", "/dev/zero", "/dev/vda", "char-pts", "block-sd", "char-input") + " " + g.of("r", "w", "m", "rw", "rwm", "mr")
}

func (g generator) deviceLimit() string {
	return g.of("/dev/vda", "/dev/vdb", "/dev/sda1") + " " + g.of(g.size(), fmt.Sprint(1+g.IntN(10000)), g.span())
}

func (g generator) signals() string {
	return g.some(1, 4, " ", func() string {
		return g.of(fmt.Sprint(g.IntN(256)), "SIGTERM", "SIGKILL", "SIGUSR2", "SIGRTMIN+3", "TEMPFAIL", "DATAERR")
	})
}

func (g generator) paths() string {
	return g.some(1, 3, " ", func() string { return g.of("", "-", "+", "-+") + g.path() })
}

func (g generator) path() string {
	return "/" + g.some(1, 3, "/", func() string { return g.of("a", "bc", "d.e", "f-g", "h_i", "usr", "srv", "ü") })
}

func (g generator) tmpfs() string {
	return g.some(1, 2, " ", func() string {
		return g.path() + g.of("", ":"+g.some(1, 3, ",", func() string {
			return g.of("ro", "noexec", "nostrictatime", fmt.Sprintf("mode=0%03o", g.IntN(0o1000)), fmt.Sprintf("size=%dM", 1+g.IntN(100)), "nr_inodes=1k")
		}))
	})
}

func (g generator) words() string {
	return g.some(1, 3, " ", func() string { return g.of("FOO", "BAR=1", "web", "a.b", "x-y", "^foo.*$", "~bar") })
}
