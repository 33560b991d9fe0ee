// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"nomad-systemd-driver/broker/systemd/unitpath"
)

// Status is the state of one service unit. The fields are the properties of
// the same names in org.freedesktop.systemd1(5).
type Status struct {
	Unit         string
	LoadState    string // LoadLoaded, or what is wrong with the unit's file
	ActiveState  string
	SubState     string
	InvocationID string // 32 hexadecimal digits; empty if never started
	Result       string

	MainPID        uint32 // 0 if the program does not run
	ExecMainPID    uint32 // of the last program, kept when it ends
	ExecMainCode   int32
	ExecMainStatus int32     // exit code or signal number, by ExecMainCode
	StartedAt      time.Time // zero if never
	ExitedAt       time.Time // zero if the program has not ended

	ControlGroup string // empty if there is none
	UID          uint32 // NoUID if none

	// LogExtraFields are journal fields. PID 1 keeps them over a reload only
	// if no value holds a space: there it ends the field, and reads what
	// follows as a further one.
	LogExtraFields map[string]string
}

// details is a Status and what only this package needs to know.
type details struct {
	Status
	job     uint32 // id of the job that waits or runs for the unit; 0 if none
	entered bool   // the unit has been active at least once
}

// field is one property to read and where it goes.
type field struct {
	name string
	set  func(*details, dbus.Variant) error
}

// fields are read with one call, which PID 1 answers in one go: they are of one
// moment.
var fields = []field{
	property("ActiveState", func(d *details, v string) error { d.ActiveState = v; return nil }),
	property("SubState", func(d *details, v string) error { d.SubState = v; return nil }),
	property("Job", setJob),
	property("ActiveEnterTimestamp", func(d *details, v uint64) error { d.entered = v != 0; return nil }),
	property("ExecMainStartTimestamp", func(d *details, v uint64) error { return setTime(&d.StartedAt, v) }),
	property("ExecMainExitTimestamp", func(d *details, v uint64) error { return setTime(&d.ExitedAt, v) }),
	property("ExecMainPID", func(d *details, v uint32) error { d.ExecMainPID = v; return nil }),
	property("ExecMainCode", func(d *details, v int32) error { d.ExecMainCode = v; return nil }),
	property("ExecMainStatus", func(d *details, v int32) error { d.ExecMainStatus = v; return nil }),
	property("MainPID", func(d *details, v uint32) error { d.MainPID = v; return nil }),
	property("Result", func(d *details, v string) error { d.Result = v; return nil }),
	property("ControlGroup", func(d *details, v string) error { d.ControlGroup = v; return nil }),
	property("UID", func(d *details, v uint32) error { d.UID = v; return nil }),
	property("LogExtraFields", setLogExtraFields),
	property("InvocationID", setInvocationID),
	property("LoadState", func(d *details, v string) error { d.LoadState = v; return nil }),
}

func property[T any](name string, set func(*details, T) error) field {
	return field{name, func(d *details, value dbus.Variant) error {
		v, err := valueOf[T](value.Value(), name)
		if err != nil {
			return err
		}
		if err := set(d, v); err != nil {
			return fmt.Errorf("property %s: %w", name, err)
		}
		return nil
	}}
}

// Status reads the state of a unit. A unit that PID 1 does not have is
// [ErrNotFound].
func (c *Conn) Status(ctx context.Context, unit string) (Status, error) {
	d, err := c.details(ctx, unit)
	return d.Status, err
}

// StatusListed is Status of a unit that [Conn.List] has just named: it asks once
// instead of twice. It is not for units whose changes the caller follows, see
// readDetails.
func (c *Conn) StatusListed(ctx context.Context, unit string) (Status, error) {
	d, _, err := c.readWith(ctx, unit, unitpath.Of(unit), nil)
	if err != nil {
		return Status{}, fmt.Errorf("cannot read the state of unit %s: %w", unit, err)
	}
	return d.Status, nil
}

func (c *Conn) details(ctx context.Context, unit string) (details, error) {
	d, err := c.readDetails(ctx, unit)
	if err != nil {
		return details{}, fmt.Errorf("cannot read the state of unit %s: %w", unit, err)
	}
	return d, nil
}

func (c *Conn) readDetails(ctx context.Context, name string) (details, error) {
	// A question about properties makes PID 1 load a unit it does not have,
	// and its unloading is a change of that unit: who reads what has changed
	// would never come to rest. GetUnit loads nothing.
	reply, err := c.queueless(ctx, c.read, "GetUnit", name)
	if err != nil {
		return details{}, err
	}
	path, err := bodyOf[dbus.ObjectPath](reply, "GetUnit")
	if err != nil {
		return details{}, err
	}
	d, _, err := c.readWith(ctx, name, path, nil)
	return d, err
}

// readWith reads further properties of a service as well; one that PID 1 does not
// have is missing among them.
func (c *Conn) readWith(ctx context.Context, name string, path dbus.ObjectPath, further []string) (details, map[string]dbus.Variant, error) {
	wanted := make(map[string]bool, len(fields)+len(further))
	for _, f := range fields {
		wanted[f.name] = true
	}
	for _, property := range further {
		wanted[property] = true
	}
	replies, err := c.read(ctx, getAll(path, wanted))
	if err != nil {
		return details{}, nil, err
	}
	if replies[0].Err != nil {
		return details{}, nil, errorOf(replies[0].Err)
	}
	values, err := bodyOf[map[string]dbus.Variant](replies[0], "GetAll")
	if err != nil {
		return details{}, nil, err
	}
	d, err := decodeDetails(name, values)
	return d, values, err
}

// decodeDetails takes the values of all fields. PID 1 answers for a unit that it does
// not have as well, with defaults: they count for nothing.
func decodeDetails(unit string, values map[string]dbus.Variant) (details, error) {
	if values["LoadState"].Value() == LoadNotFound {
		return details{}, ErrNotFound
	}
	d := details{Status: Status{Unit: unit}}
	for _, f := range fields {
		v, ok := values[f.name]
		if !ok {
			return details{}, fmt.Errorf("PID 1 gave no %s", f.name)
		}
		if err := f.set(&d, v); err != nil {
			return details{}, err
		}
	}
	return d, nil
}

// setJob takes (uo): id and path of the job; id 0 means none.
func setJob(d *details, v []any) error {
	if len(v) != 2 {
		return fmt.Errorf("%d values, expected 2", len(v))
	}
	id, err := valueOf[uint32](v[0], "job id")
	d.job = id
	return err
}

// setTime takes microseconds since the epoch; 0 means never.
func setTime(t *time.Time, usec uint64) error {
	if usec > math.MaxInt64 {
		return fmt.Errorf("no point in time: %d", usec)
	}
	if usec != 0 {
		*t = time.UnixMicro(int64(usec))
	}
	return nil
}

func setInvocationID(d *details, id []byte) error {
	if len(id) != 0 && len(id) != 16 {
		return fmt.Errorf("%d bytes, expected 16", len(id))
	}
	d.InvocationID = hex.EncodeToString(id)
	return nil
}

var errNoEqualsSign = errors.New("an entry without '='")

func setLogExtraFields(d *details, entries [][]byte) error {
	d.LogExtraFields = make(map[string]string, len(entries))
	for _, entry := range entries {
		key, value, ok := strings.Cut(string(entry), "=")
		if !ok {
			return errNoEqualsSign
		}
		// Who owns a unit is read from here: it must not depend on order.
		if _, twice := d.LogExtraFields[key]; twice {
			return fmt.Errorf("field %q appears twice", key)
		}
		d.LogExtraFields[key] = value
	}
	return nil
}
