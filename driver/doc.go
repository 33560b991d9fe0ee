// SPDX-License-Identifier: MPL-2.0

// Package driver is the Nomad task driver "systemd". It turns Nomad's tasks
// into requests to systemd-brokerd, which runs them as transient systemd
// services, and holds no privilege itself: it runs as the Nomad agent's own
// unprivileged user.
//
// One process serves all tasks. What it knows of them comes over one stream of
// the broker (watch.go); nothing is polled and nothing is kept on disk but the
// handle that Nomad stores. What tasks use it reads from the kernel's control
// groups itself, at the intervals that Nomad asks for (stats.go, sampler.go). Broker, driver and agent may each die at any time:
//
//   - While the broker is away, WaitTask stays blocked, StartTask fails with an
//     error that Nomad retries, and the driver reports itself unhealthy.
//   - When it is back, the stream first shows every unit there is. A task whose
//     unit is not among them is reported as lost, for Nomad to decide on.
package driver
