// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"nomad-systemd-driver/broker/inspect"
	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/cgroup"
)

const statusAbout = `Usage: systemd-brokerd status [flags]

Shows whether the broker is well, which policy is in force, who its clients are and
what they run. Exit status 1 if something is wrong.`

// overall is what "status" tells; its JSON form is documented in docs/operations.md.
type overall struct {
	Healthy  bool             `json:"healthy"`
	Problems []string         `json:"problems"`
	Broker   *inspect.Daemon  `json:"broker"`
	Sockets  []socketState    `json:"sockets"`
	Systemd  string           `json:"systemd"`
	Policy   policyState      `json:"policy"`
	Clients  []clientState    `json:"clients"`
	Program  string           `json:"program"` // version of what is installed
	units    map[string][]int // by client: starting and running, exited, sessions
}

type socketState struct {
	Unit  string `json:"unit"`
	State string `json:"state"`
}

type policyState struct {
	Directory string `json:"directory"`
	SHA256    string `json:"sha256,omitempty"` // of the files
	InForce   bool   `json:"in_force"`
}

type clientState struct {
	Name     string `json:"name"`
	User     string `json:"user,omitempty"`
	UID      uint32 `json:"uid"`
	Slice    string `json:"slice,omitempty"`
	Running  int    `json:"running"`
	Exited   int    `json:"exited"`
	Sessions int    `json:"sessions"`
	MaxUnits int    `json:"max_units,omitempty"`
}

func status(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd status", statusAbout, stderr)
	dir := flags.String("policy", defaultPolicyDir, "directory with the policy's *.hcl files")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args); err != nil {
		return err
	}
	pid1, err := lookAtPID1(ctx)
	if err != nil {
		return err
	}
	defer pid1.Close() //nolint:errcheck // nothing was changed
	o, err := readOverall(ctx, pid1, *dir)
	if err != nil {
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(o)
	} else {
		err = o.print(stdout)
	}
	if err == nil && !o.Healthy {
		return errors.New("something is wrong; systemd-brokerd doctor looks closer")
	}
	return err
}

func readOverall(ctx context.Context, pid1 inspect.Systemd, dir string) (*overall, error) {
	o := &overall{Problems: []string{}, Clients: []clientState{}, Systemd: pid1.Version(), Program: version, Policy: policyState{Directory: dir}}
	var err error
	if o.Broker, err = inspect.ReadDaemon(ctx, pid1, inspect.Service); err != nil {
		return nil, err
	}
	if o.Broker.State != systemd.Active {
		o.problem("the broker is " + o.Broker.State + ": systemctl status " + inspect.Service)
	}
	for _, name := range inspect.Sockets {
		s, err := inspect.ReadDaemon(ctx, pid1, name)
		if err != nil {
			return nil, err
		}
		o.Sockets = append(o.Sockets, socketState{name, s.State})
		if s.State != systemd.Active {
			o.problem(name + " is " + s.State + ": systemctl restart " + inspect.Service)
		}
	}
	// It runs when it is needed: that it does not is no problem.
	if m, err := inspect.ReadDaemon(ctx, pid1, inspect.MountService); err != nil {
		return nil, err
	} else if m.Failing() {
		o.problem(inspect.MountService + " fails, and no unit can be started: systemctl status " + inspect.MountService)
	}
	units, err := inspect.Units(ctx, pid1, cgroup.Default)
	if err != nil {
		return nil, err
	}
	o.count(units)
	p, err := loadPolicy(dir)
	if err != nil {
		o.problem("the policy on disk has a mistake: " + err.Error())
		p = policy.DenyAll()
	} else {
		o.Policy.SHA256 = p.SHA256()
		o.Policy.InForce = strings.Contains(o.Broker.Text, inForceText(p.SHA256()))
		if !o.Policy.InForce && o.Broker.State == systemd.Active {
			o.problem("the policy on disk is not the one in force: systemctl reload " + inspect.Service)
		}
	}
	o.addClients(p.Clients())
	o.Healthy = len(o.Problems) == 0
	return o, nil
}

func (o *overall) problem(text string) { o.Problems = append(o.Problems, text) }

// count counts the units of each client.
func (o *overall) count(units []inspect.Unit) {
	o.units = make(map[string][]int)
	for _, u := range units {
		n := o.units[u.Client]
		if n == nil {
			n = make([]int, 3)
			o.units[u.Client] = n
		}
		switch {
		case u.SessionOf != "":
			n[2]++
		case u.Exit != nil:
			n[1]++
		default:
			n[0]++
		}
	}
}

// addClients lists the clients of the policy, and those who only have units.
func (o *overall) addClients(clients []*policy.Client) {
	add := func(s clientState) {
		if n := o.units[s.Name]; n != nil {
			s.Running, s.Exited, s.Sessions = n[0], n[1], n[2]
		}
		delete(o.units, s.Name)
		o.Clients = append(o.Clients, s)
	}
	for _, c := range clients {
		add(clientState{Name: c.Name, User: c.User, UID: c.UID, Slice: c.Slice, MaxUnits: c.MaxUnits})
	}
	for name := range o.units {
		add(clientState{Name: name})
	}
}

func (o *overall) print(stdout io.Writer) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	line := func(name, text string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", name, text) }
	broker := o.Broker.State
	if o.Broker.PID != 0 {
		broker += fmt.Sprintf(", pid %d", o.Broker.PID)
	}
	if o.Broker.Memory != nil {
		broker += ", " + bytesText(*o.Broker.Memory)
	}
	if o.Broker.Restarts > 0 {
		broker += fmt.Sprintf(", started again %d times after failures", o.Broker.Restarts)
	}
	line("broker", broker)
	if o.Broker.Text != "" {
		line("", o.Broker.Text)
	}
	for _, s := range o.Sockets {
		line("socket", s.Unit+" "+s.State)
	}
	if o.Policy.SHA256 != "" {
		line("policy", map[bool]string{true: "in force, ", false: "not in force, "}[o.Policy.InForce]+"sha256 "+o.Policy.SHA256)
	}
	line("versions", "systemd-brokerd "+o.Program+", systemd "+o.Systemd)
	for _, c := range o.Clients {
		text := fmt.Sprintf("%s: %d running, %d exited", c.Name, c.Running, c.Exited)
		if c.Sessions > 0 {
			text += fmt.Sprintf(", %d sessions", c.Sessions)
		}
		if c.MaxUnits > 0 {
			text += fmt.Sprintf("; at most %d units", c.MaxUnits)
		} else {
			text += "; not a client of the policy"
		}
		line("client", text)
	}
	for _, p := range o.Problems {
		line("PROBLEM", p)
	}
	return table.Flush()
}
