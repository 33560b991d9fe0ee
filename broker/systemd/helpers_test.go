// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"context"
	"testing"
	"time"

	"nomad-systemd-driver/broker/systemd/fakepid1"
)

const testUnit = "nomad-web-0a1b2c3d-4e5f6a7b.service"

// patience bounds what must happen; a test that fails may wait this long.
var patience = 10 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dialFake connects to a fake on its private socket.
func dialFake(t *testing.T, pid1 *fakepid1.Server, watch func(string) bool) *Conn {
	t.Helper()
	return dialOptions(t, Options{PrivatePath: pid1.SocketPath(), BusPath: "/nonexistent/bus", Watch: watch})
}

func dialOptions(t *testing.T, o Options) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func awaitCall(t *testing.T, pid1 *fakepid1.Server, member string, n int) {
	t.Helper()
	if err := pid1.AwaitCalls(testContext(t), member, n); err != nil {
		t.Fatalf("PID 1 got fewer than %d calls of %s: %v", n, member, err)
	}
}
