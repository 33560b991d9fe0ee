// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Sandbox are the keys of a task's config block that become directives of its
// unit. The driver writes them out; the broker reads, decides on and checks them.
type Sandbox struct {
	Profile string              `codec:"profile"`
	Systemd map[string][]string `codec:"systemd"`

	CPUHardLimit   bool              `codec:"cpu_hard_limit"`
	CPUWeight      uint64            `codec:"cpu_weight"`
	Tmpfs          []string          `codec:"tmpfs"`
	MemoryHigh     string            `codec:"memory_high"`
	MemorySwapMax  string            `codec:"memory_swap_max"`
	TasksMax       uint64            `codec:"tasks_max"`
	IO             IO                `codec:"io"`
	NUMA           NUMA              `codec:"numa"`
	OOMPolicy      string            `codec:"oom_policy"`
	OOMScoreAdjust int64             `codec:"oom_score_adjust"`
	Ulimit         map[string]string `codec:"ulimit"`
	Nice           int64             `codec:"nice"`
	CPUScheduling  string            `codec:"cpu_scheduling"`
	IOScheduling   string            `codec:"io_scheduling"`
	Umask          string            `codec:"umask"`
	Workdir        string            `codec:"workdir"`
	Hostname       string            `codec:"hostname"`
	Capabilities   Capabilities      `codec:"capabilities"`
	SyscallFilter  []string          `codec:"syscall_filter"`
	NoNewPrivs     *bool             `codec:"no_new_privileges"`
	Network        string            `codec:"network"`
	RestrictPorts  bool              `codec:"restrict_ports"`
	IPAllow        []string          `codec:"ip_allow"`
	IPDeny         []string          `codec:"ip_deny"`
}

// IO limits input and output. Each limit is a device, or a directory of the task's
// view that lies on it, and a value: "/dev/vda 10M", "/local 10M".
type IO struct {
	Weight         uint64   `codec:"weight"`
	ReadBandwidth  []string `codec:"read_bandwidth"`
	WriteBandwidth []string `codec:"write_bandwidth"`
	ReadIOPS       []string `codec:"read_iops"`
	WriteIOPS      []string `codec:"write_iops"`
}

// NUMA says on which nodes memory lies.
type NUMA struct {
	Policy string `codec:"policy"`
	Nodes  string `codec:"nodes"`
}

// Capabilities are added to or taken from those of the profile.
type Capabilities struct {
	Add  []string `codec:"add"`
	Drop []string `codec:"drop"`
}

// sandboxSpec is the part of the schema that Sandbox holds.
var sandboxSpec = map[string]*hclspec.Spec{
	"profile":           hclspec.NewAttr("profile", "string", false),
	"systemd":           hclspec.NewBlockAttrs("systemd", "list(string)", false),
	"cpu_hard_limit":    hclspec.NewAttr("cpu_hard_limit", "bool", false),
	"cpu_weight":        hclspec.NewAttr("cpu_weight", "number", false),
	"tmpfs":             hclspec.NewAttr("tmpfs", "list(string)", false),
	"memory_high":       hclspec.NewAttr("memory_high", "string", false),
	"memory_swap_max":   hclspec.NewAttr("memory_swap_max", "string", false),
	"tasks_max":         hclspec.NewAttr("tasks_max", "number", false),
	"oom_policy":        hclspec.NewAttr("oom_policy", "string", false),
	"oom_score_adjust":  hclspec.NewAttr("oom_score_adjust", "number", false),
	"ulimit":            hclspec.NewBlockAttrs("ulimit", "string", false),
	"nice":              hclspec.NewAttr("nice", "number", false),
	"cpu_scheduling":    hclspec.NewAttr("cpu_scheduling", "string", false),
	"io_scheduling":     hclspec.NewAttr("io_scheduling", "string", false),
	"umask":             hclspec.NewAttr("umask", "string", false),
	"hostname":          hclspec.NewAttr("hostname", "string", false),
	"workdir":           hclspec.NewAttr("workdir", "string", false),
	"syscall_filter":    hclspec.NewAttr("syscall_filter", "list(string)", false),
	"network":           hclspec.NewAttr("network", "string", false),
	"restrict_ports":    hclspec.NewAttr("restrict_ports", "bool", false),
	"ip_allow":          hclspec.NewAttr("ip_allow", "list(string)", false),
	"ip_deny":           hclspec.NewAttr("ip_deny", "list(string)", false),
	"no_new_privileges": hclspec.NewAttr("no_new_privileges", "bool", false),
	"io": hclspec.NewBlock("io", false, hclspec.NewObject(map[string]*hclspec.Spec{
		"weight":          hclspec.NewAttr("weight", "number", false),
		"read_bandwidth":  hclspec.NewAttr("read_bandwidth", "list(string)", false),
		"write_bandwidth": hclspec.NewAttr("write_bandwidth", "list(string)", false),
		"read_iops":       hclspec.NewAttr("read_iops", "list(string)", false),
		"write_iops":      hclspec.NewAttr("write_iops", "list(string)", false),
	})),
	"numa": hclspec.NewBlock("numa", false, hclspec.NewObject(map[string]*hclspec.Spec{
		"policy": hclspec.NewAttr("policy", "string", false),
		"nodes":  hclspec.NewAttr("nodes", "string", false),
	})),
	"capabilities": hclspec.NewBlock("capabilities", false, hclspec.NewObject(map[string]*hclspec.Spec{
		"add":  hclspec.NewAttr("add", "list(string)", false),
		"drop": hclspec.NewAttr("drop", "list(string)", false),
	})),
}

// lines collects the lines of directives, and under which key of the config block
// each was asked for.
type lines struct {
	all map[string][]string
	key map[string]string
}

// add notes lines for a directive; none and the empty one are not set.
func (l *lines) add(key, directive string, text ...string) {
	if len(text) == 0 || len(text) == 1 && text[0] == "" {
		return
	}
	l.all[directive] = append(l.all[directive], text...)
	l.key[directive] = key
}

// directives are all that the sandbox asks for, sorted by name.
func (s *Sandbox) directives(r *drivers.Resources) ([]*brokerv1.Directive, error) {
	l, err := s.lines(r)
	if err != nil {
		return nil, err
	}
	var all []*brokerv1.Directive
	for _, name := range slices.Sorted(maps.Keys(l.all)) {
		all = append(all, &brokerv1.Directive{Name: name, Values: l.all[name]})
	}
	return all, nil
}

// aDirective finds the directive that a refusal is about.
var aDirective = regexp.MustCompile(`(?:directives: (?:there is no directive ")?|directive ")([A-Za-z]+)[:=" ]`)

// origin is the key of the task's config block that asks for what a refusal is
// about, in words that follow the refusal; empty if it is about something else.
func origin(refusal string, c *drivers.TaskConfig) string {
	m := aDirective.FindStringSubmatch(refusal)
	var tc TaskConfig
	if m == nil || c.DecodeDriverConfig(&tc) != nil {
		return ""
	}
	l, err := tc.lines(c.Resources)
	if err != nil || l.key[m[1]] == "" {
		return ""
	}
	return "; it comes from " + l.key[m[1]] + " in the task's config block"
}

func (s *Sandbox) lines(r *drivers.Resources) (*lines, error) {
	l := &lines{map[string][]string{}, map[string]string{}}
	s.limits(l, r)
	s.rights(l)
	if err := s.network(l, r); err != nil {
		return nil, err
	}
	if s.NoNewPrivs != nil && !*s.NoNewPrivs {
		return nil, errors.New("no_new_privileges cannot be turned off: no task ever gets privileges from a setuid program; remove the key")
	}
	for name, text := range s.Systemd {
		if key, twice := l.key[name]; twice {
			return nil, fmt.Errorf("systemd: %s is what %s sets as well; remove one of the two", name, key)
		}
		l.all[name], l.key[name] = text, "systemd."+name
	}
	return l, nil
}

func (s *Sandbox) limits(l *lines, r *drivers.Resources) {
	if s.CPUHardLimit {
		l.add("cpu_hard_limit", "CPUQuota", cpuQuota(r))
	}
	l.add("memory_high", "MemoryHigh", s.MemoryHigh)
	l.add("memory_swap_max", "MemorySwapMax", s.MemorySwapMax)
	l.add("oom_policy", "OOMPolicy", s.OOMPolicy)
	l.add("oom_score_adjust", "OOMScoreAdjust", nonzero(s.OOMScoreAdjust))
	l.add("nice", "Nice", nonzero(s.Nice))
	l.add("cpu_scheduling", "CPUSchedulingPolicy", s.CPUScheduling)
	l.add("io_scheduling", "IOSchedulingClass", s.IOScheduling)
	l.add("io.weight", "IOWeight", nonzero(int64(s.IO.Weight))) //nolint:gosec // the broker checks it
	l.add("io.read_bandwidth", "IOReadBandwidthMax", s.IO.ReadBandwidth...)
	l.add("io.write_bandwidth", "IOWriteBandwidthMax", s.IO.WriteBandwidth...)
	l.add("io.read_iops", "IOReadIOPSMax", s.IO.ReadIOPS...)
	l.add("io.write_iops", "IOWriteIOPSMax", s.IO.WriteIOPS...)
	l.add("numa.policy", "NUMAPolicy", s.NUMA.Policy)
	l.add("numa.nodes", "NUMAMask", s.NUMA.Nodes)
	for name, value := range s.Ulimit {
		l.add("ulimit."+name, "Limit"+strings.ToUpper(name), value)
	}
}

func nonzero(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// cpuQuota is the task's share of the node as a percentage of one CPU: what it
// gets at least becomes what it gets at most.
func cpuQuota(r *drivers.Resources) string {
	if r == nil || r.LinuxResources == nil {
		return ""
	}
	// In whole percents: systemd 252 forgets parts of one at a daemon-reload.
	share := math.Ceil(r.LinuxResources.PercentTicks * float64(runtime.NumCPU()) * 100)
	return strconv.FormatFloat(max(share, 1), 'f', 0, 64) + "%"
}

func (s *Sandbox) rights(l *lines) {
	l.add("umask", "UMask", s.Umask)
	if s.Hostname != "" {
		l.add("hostname", "ProtectHostname", "yes:"+s.Hostname)
	}
	l.add("tmpfs", "TemporaryFileSystem", s.Tmpfs...)
	l.add("syscall_filter", "SystemCallFilter", s.SyscallFilter...)
	add, drop := capNames(s.Capabilities.Add), capNames(s.Capabilities.Drop)
	l.add("capabilities", "CapabilityBoundingSet", strings.Join(add, " "))
	l.add("capabilities", "AmbientCapabilities", strings.Join(slices.DeleteFunc(add, func(name string) bool { return slices.Contains(drop, name) }), " "))
	if len(drop) > 0 {
		l.add("capabilities", "CapabilityBoundingSet", "~"+strings.Join(drop, " "))
	}
}

// capNames takes names as container runtimes write them too: net_bind_service.
func capNames(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		if all[i] = strings.ToUpper(name); !strings.HasPrefix(all[i], "CAP_") {
			all[i] = "CAP_" + all[i]
		}
	}
	return all
}

func (s *Sandbox) network(l *lines, r *drivers.Resources) error {
	switch s.Network {
	case "", "host":
	case "none":
		l.add("network", "PrivateNetwork", "yes")
	default:
		if s.namespace() == "" {
			return fmt.Errorf(`network: %q is not "host", "none" or the path of a network namespace as "/run/netns/web"`, s.Network)
		}
	}
	l.add("ip_allow", "IPAddressAllow", s.IPAllow...)
	l.add("ip_deny", "IPAddressDeny", s.IPDeny...)
	if !s.RestrictPorts {
		return nil
	}
	l.add("restrict_ports", "SocketBindDeny", "any")
	for _, port := range allocatedPorts(r) {
		l.add("restrict_ports", "SocketBindAllow", strconv.Itoa(port))
	}
	return nil
}

// namespace is the path of a network namespace; empty if another network is meant.
func (s *Sandbox) namespace() string {
	if !strings.HasPrefix(s.Network, "/") {
		return ""
	}
	return s.Network
}

// allocatedPorts are the ports of this host that Nomad gave to the task and its
// group, each once.
func allocatedPorts(r *drivers.Resources) []int {
	if r == nil {
		return nil
	}
	var all []int
	if r.Ports != nil {
		for _, p := range *r.Ports {
			all = append(all, p.Value)
		}
	}
	if r.NomadResources != nil {
		for _, n := range r.NomadResources.Networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				all = append(all, p.Value)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
