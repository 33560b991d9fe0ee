// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"crypto/rand"
	"maps"
	"os"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Unit is one unit of the fake.
type Unit struct {
	Name string
	// Started holds the properties StartTransientUnit came with; nil for a
	// unit the test added. Descriptors are in Files instead.
	Started map[string]any
	// Files holds the descriptors, by property name. They stay open until the
	// test ends; a test may close them earlier, as a program does that ends.
	Files map[string]*os.File

	values  map[string]any // what Get answers
	sent    map[string][]dbus.Variant
	ignored map[unix.Signal]bool
	job     uint32
	verb    string // of the job
	outcome Outcome
}

// defaults are the properties of a service PID 1 has loaded but never started,
// and of one it has not.
func defaults() map[string]any {
	return map[string]any{
		"LoadState":              "loaded",
		"ActiveState":            "inactive",
		"SubState":               "dead",
		"Job":                    jobRef{0, "/"},
		"ActiveEnterTimestamp":   uint64(0),
		"InvocationID":           []byte{},
		"Result":                 "success",
		"MainPID":                uint32(0),
		"ExecMainPID":            uint32(0),
		"ExecMainCode":           int32(0),
		"ExecMainStatus":         int32(0),
		"ExecMainStartTimestamp": uint64(0),
		"ExecMainExitTimestamp":  uint64(0),
		"ControlGroup":           "",
		"UID":                    ^uint32(0),
		"LogExtraFields":         [][]byte{},
	}
}

// jobRef is the property Job, (uo).
type jobRef struct {
	ID   uint32
	Path dbus.ObjectPath
}

func newUnit(name string) *Unit {
	return &Unit{
		Name:    name,
		Files:   make(map[string]*os.File),
		values:  defaults(),
		sent:    make(map[string][]dbus.Variant),
		ignored: make(map[unix.Signal]bool),
	}
}

func (u *Unit) set(values map[string]any) {
	maps.Copy(u.values, values)
}

func (u *Unit) running() bool {
	pid, ok := u.values["MainPID"].(uint32)
	return ok && pid != 0
}

func now() uint64 { return uint64(time.Now().UnixMicro()) }

// begin is what the start of a unit does to it.
func (u *Unit) begin(pid uint32) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	u.set(map[string]any{
		"ActiveState":            "activating",
		"SubState":               "start",
		"InvocationID":           id,
		"MainPID":                pid,
		"ExecMainPID":            pid,
		"ExecMainStartTimestamp": now(),
		"ControlGroup":           "/fake.slice/" + u.Name,
	})
}

// executed is what a successful execve(2) does to it.
func (u *Unit) executed() {
	u.set(map[string]any{"ActiveState": "active", "SubState": "running", "ActiveEnterTimestamp": now()})
}

// ended is what the end of the program does to it: the states that were
// measured with RemainAfterExit=yes.
func (u *Unit) ended(code, status int32) {
	clean := code == 1 && status == 0
	if code == 2 {
		switch unix.Signal(status) {
		case unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE:
			clean = true
		}
	}
	u.set(map[string]any{
		"MainPID":               uint32(0),
		"ExecMainCode":          code,
		"ExecMainStatus":        status,
		"ExecMainExitTimestamp": now(),
	})
	if clean {
		u.set(map[string]any{"SubState": "exited"})
		return
	}
	result := map[int32]string{1: "exit-code", 2: "signal", 3: "core-dump"}[code]
	u.set(map[string]any{"ActiveState": "failed", "SubState": "failed", "Result": result, "ControlGroup": "", "UID": ^uint32(0)})
}
