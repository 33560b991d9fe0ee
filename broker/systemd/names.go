// SPDX-License-Identifier: MPL-2.0

package systemd

import "github.com/godbus/dbus/v5"

// Addresses, interfaces and errors of org.freedesktop.systemd1(5).
const (
	defaultPrivatePath = "/run/systemd/private"
	defaultBusPath     = "/run/dbus/system_bus_socket"

	busDestination = "org.freedesktop.DBus"
	busPath        = dbus.ObjectPath("/org/freedesktop/DBus")
	busInterface   = "org.freedesktop.DBus"

	destination         = "org.freedesktop.systemd1"
	managerPath         = dbus.ObjectPath("/org/freedesktop/systemd1")
	unitNamespace       = "/org/freedesktop/systemd1/unit"
	managerInterface    = "org.freedesktop.systemd1.Manager"
	unitInterface       = "org.freedesktop.systemd1.Unit"
	serviceInterface    = "org.freedesktop.systemd1.Service"
	propertiesInterface = "org.freedesktop.DBus.Properties"

	errorNoSuchUnit    = "org.freedesktop.systemd1.NoSuchUnit"
	errorUnitExists    = "org.freedesktop.systemd1.UnitExists"
	errorNoSuchProcess = "org.freedesktop.systemd1.NoSuchProcess"
	errorESRCH         = "System.Error.ESRCH"

	// Errors a bus daemon gives in PID 1's place: it left before it replied,
	// or it was not there when the call came.
	errorNoReply        = "org.freedesktop.DBus.Error.NoReply"
	errorServiceUnknown = "org.freedesktop.DBus.Error.ServiceUnknown"
	errorNameHasNoOwner = "org.freedesktop.DBus.Error.NameHasNoOwner"
)

// Values of [Status.ActiveState], org.freedesktop.systemd1(5), "Properties" of
// unit objects.
const (
	Active       = "active"
	Reloading    = "reloading"
	Inactive     = "inactive"
	Failed       = "failed"
	Activating   = "activating"
	Deactivating = "deactivating"
)

// Values of [Status.LoadState], org.freedesktop.systemd1(5). PID 1 answers
// questions about a unit it does not have as well, with LoadNotFound.
const (
	LoadLoaded   = "loaded"
	LoadNotFound = "not-found"
)

// SubState of a service, systemctl --state=help. Exited is that of an active
// service with RemainAfterExit= whose program has ended.
const (
	Running = "running"
	Exited  = "exited"
)

// Values of [Status.Result], systemd.exec(5), "$SERVICE_RESULT".
const (
	ResultSuccess  = "success"
	ResultExitCode = "exit-code"
	ResultSignal   = "signal"
	ResultCoreDump = "core-dump"
	ResultOOMKill  = "oom-kill"
	ResultTimeout  = "timeout"
)

// Values of [Status.ExecMainCode]: the CLD_ constants of sigaction(2); 0 while
// the program runs.
const (
	CodeExited int32 = 1
	CodeKilled int32 = 2
	CodeDumped int32 = 3
)

// Results of a job, the signal JobRemoved of org.freedesktop.systemd1(5).
const (
	JobDone       = "done"
	JobCanceled   = "canceled"
	JobTimeout    = "timeout"
	JobFailed     = "failed"
	JobDependency = "dependency"
	JobSkipped    = "skipped"
)

// NoUID is [Status.UID] of a unit that has no user of its own.
const NoUID = ^uint32(0)
