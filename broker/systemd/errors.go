// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"errors"
	"fmt"

	"nomad-systemd-driver/broker/systemd/wire"
)

var (
	// ErrNotFound is returned when PID 1 has no such unit, or has it no more.
	ErrNotFound = errors.New("no such unit")

	// ErrNoProcess is returned by Kill when the unit has no process to signal.
	ErrNoProcess = errors.New("no process to signal")

	// ErrUnitExists is returned by Start when the name is taken.
	ErrUnitExists = errors.New("unit exists already")

	// ErrNotStarted is returned by Start when the connection was lost and PID 1
	// proved not to have the unit: nothing was started, starting again is safe.
	ErrNotStarted = errors.New("connection to PID 1 lost before the unit was started")

	// ErrOutcomeUnknown is returned when a call was sent and neither a reply
	// nor a look afterwards could tell whether it took effect.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrNotConnected is returned when a call waited in vain for a connection:
	// nothing was sent.
	ErrNotConnected = errors.New("not connected to PID 1")

	// ErrClosed is returned after Close.
	ErrClosed = wire.ErrClosed
)

// CallError is an error reply of PID 1 that has no sentinel here.
type CallError = wire.Error

// StartError tells that PID 1 accepted a unit but its program was not executed.
type StartError struct {
	Unit string
	// JobResult is how the start job ended, for example JobFailed.
	JobResult string
	// Status is the unit's state afterwards. Its ExecMainStatus names the step
	// that failed, systemd.exec(5), "Process Exit Codes": 203 for the exec
	// itself. It is zero if the unit was gone by then.
	Status Status
}

func (e *StartError) Error() string {
	if e.Status.Unit == "" {
		return fmt.Sprintf("unit %s did not start: its job ended as %q", e.Unit, e.JobResult)
	}
	return fmt.Sprintf("unit %s did not start: its job ended as %q, the service as %q, its program with code %d, status %d",
		e.Unit, e.JobResult, e.Status.Result, e.Status.ExecMainCode, e.Status.ExecMainStatus)
}

// errorOf turns an error reply into what callers test for.
func errorOf(e *wire.Error) error {
	switch e.Name {
	case errorNoSuchUnit:
		return ErrNotFound
	case errorUnitExists:
		return ErrUnitExists
	case errorNoSuchProcess, errorESRCH:
		return ErrNoProcess
	}
	return e
}
