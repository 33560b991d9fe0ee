// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"

	"nomad-systemd-driver/broker/mounts"
	"nomad-systemd-driver/broker/policy"
)

// checkDevices has the nodes looked at that PID 1 is to bind. The broker has a /dev of its
// own (PrivateDevices=).
func (s *Server) checkDevices(ctx context.Context, devices []policy.Device) error {
	if len(devices) == 0 {
		return nil
	}
	paths := make([]string, len(devices))
	for i, d := range devices {
		paths[i] = d.Path
	}
	err := s.config.Mounts.CheckDevices(ctx, paths)
	if d, is := errors.AsType[*mounts.DeviceError](err); is {
		return invalid("devices", "%s %s", quote(d.Path), d.Problem)
	}
	if err != nil {
		return &unavailableError{err}
	}
	return nil
}
