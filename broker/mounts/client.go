// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Client asks a [Server] for mounts.
type Client struct {
	// Socket is the server's, Dir the directory in which it makes mounts.
	Socket, Dir string
}

// timeout bounds one call: a mount takes microseconds, the server's start less than
// a second.
const timeout = 10 * time.Second

// Stage mounts what is to be shown to a unit and returns the paths, in order. They
// hold until Unstage. Something that was to be mapped may be mounted as it is.
func (c Client) Stage(ctx context.Context, unit string, all []Mount) (paths []string, unmapped bool, err error) {
	if len(all) > maxMounts {
		return nil, false, fmt.Errorf("%d directories of %s are more than %d", len(all), unit, maxMounts)
	}
	r := request{Unit: unit}
	fds := make([]int, len(all))
	paths = make([]string, len(all))
	for i, m := range all {
		r.Mounts = append(r.Mounts, want{m.Root, m.Path, m.SameMount, m.ReadOnly, m.Map})
		fds[i], paths[i] = m.FD, Where(c.Dir, unit, i)
	}
	a, err := c.call(ctx, r, fds)
	if err != nil {
		return nil, false, fmt.Errorf("cannot prepare the directories of %s: %w", unit, err)
	}
	return paths, a.Unmapped, nil
}

// Unstage takes the mounts of a unit back. What a unit has bound stays bound. It
// succeeds if there are none.
func (c Client) Unstage(ctx context.Context, unit string) error {
	if _, err := c.call(ctx, request{Unit: unit}, nil); err != nil {
		return fmt.Errorf("cannot take back the directories of %s: %w", unit, err)
	}
	return nil
}

// CheckDevices is an error, a [*DeviceError], if PID 1 would find at one of the paths what
// no unit can have. The broker itself does not see the host's /dev.
func (c Client) CheckDevices(ctx context.Context, paths []string) error {
	if _, err := c.call(ctx, request{Devices: paths}, nil); err != nil {
		return fmt.Errorf("cannot look at the devices: %w", err)
	}
	return nil
}

// Staged lists the units for which there are mounts.
func (c Client) Staged() ([]string, error) {
	entries, err := os.ReadDir(c.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var units []string
	for _, e := range entries {
		units = append(units, e.Name())
	}
	return units, err
}

func (c Client) call(ctx context.Context, r request, fds []int) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	dialed, err := d.DialContext(ctx, "unixpacket", c.Socket)
	if err != nil {
		return a, fmt.Errorf("cannot reach systemd-brokerd-mounts.service: %w", err)
	}
	defer dialed.Close() //nolint:errcheck // nothing is lost
	conn, ok := dialed.(*net.UnixConn)
	if !ok {
		return a, fmt.Errorf("cannot send descriptors over a %T", dialed)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return a, err
		}
	}
	if err := send(conn, r, fds...); err != nil {
		return a, fmt.Errorf("cannot ask systemd-brokerd-mounts.service: %w", err)
	}
	got, err := receive(conn, &a)
	closeAll(got)
	if err != nil {
		return a, fmt.Errorf("systemd-brokerd-mounts.service gave no answer: %w", err)
	}
	switch {
	case a.ReadOnly != nil:
		return a, a.ReadOnly
	case a.Device != nil:
		return a, a.Device
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}
