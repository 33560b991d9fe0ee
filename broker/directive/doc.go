// SPDX-License-Identifier: MPL-2.0

// Package directive knows the directives of systemd.exec(5),
// systemd.resource-control(5), systemd.kill(5), systemd.service(5) and
// systemd.unit(5) by their unit-file names: what PID 1 wants for them over
// D-Bus, since when, whether a policy can offer them, and if not, why.
//
// Threat: values come from jobs. PID 1 writes them to a unit file under
// /run/systemd/transient, many of them as they are, and reads that file again at
// every daemon-reload. What ends a line, continues it or is expanded then would
// change the unit, up to running a program as root. It also logs and leaves out
// what it does not know, as if no rule had been written. So a value is taken
// only if it means the same before and after a reload, and names must be known.
//
// Duty of the caller: ask the policy about the directive, and [Directive.Tightens]
// where a profile sets it already; pass all lines for one directive to one call
// of [Directive.Parse]; compare [Directive.Since] and [Value.Since] with the
// systemd that runs; and send what the floor forces after it.
//
// The package computes only: it does no input or output and has no clock.
package directive
