// SPDX-License-Identifier: MPL-2.0

package wire_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/systemd/fakepid1"
	"nomad-systemd-driver/broker/systemd/wire"
)

const patience = 10 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, path string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(testContext(t), path, func(wire.Signal) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

type property struct {
	Name  string
	Value dbus.Variant
}

type auxiliary struct {
	Name       string
	Properties []property
}

func start(name string, properties ...property) wire.Call {
	return wire.Call{
		Destination: "org.freedesktop.systemd1",
		Path:        "/org/freedesktop/systemd1",
		Interface:   "org.freedesktop.systemd1.Manager",
		Member:      "StartTransientUnit",
		Args:        []any{name, "fail", properties, []auxiliary{}},
	}
}

func version() wire.Call {
	return wire.Call{
		Path: "/org/freedesktop/systemd1", Interface: "org.freedesktop.DBus.Properties", Member: "Get",
		Destination: "org.freedesktop.systemd1", Args: []any{"org.freedesktop.systemd1.Manager", "Version"},
	}
}

// A message larger than the socket's buffer cannot be written at one go. If
// the remainder were dropped, the next message would be read as its end.
func TestALargeMessageWithDescriptorsArrivesWhole(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dial(t, pid1.SocketPath())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	big := strings.Repeat("x", 4<<20)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			replies, err := c.Do(testContext(t), start(fmt.Sprintf("big-%d.service", i),
				property{"StandardOutputFileDescriptor", dbus.MakeVariant(dbus.UnixFD(int32(w.Fd())))},
				property{"Description", dbus.MakeVariant(big)}))
			if err != nil || replies[0].Err != nil {
				t.Errorf("got %+v, %v", replies, err)
			}
		})
	}
	wg.Wait()
	_ = w.Close()
	for i := range 4 {
		u, ok := pid1.Unit(fmt.Sprintf("big-%d.service", i))
		if !ok || u.Started["Description"] != big {
			t.Fatalf("unit %d did not arrive as it was sent", i)
		}
		if f := u.Files["StandardOutputFileDescriptor"]; f == nil {
			t.Errorf("unit %d arrived without its descriptor", i)
		} else if _, err := f.WriteString("y"); err != nil {
			t.Errorf("unit %d: %v", i, err)
		}
	}
}

// The caller may close its descriptors, and reuse their numbers, as soon as Do
// returns, even if the message has not been written yet.
func TestDescriptorsAreTheConnectionsOwn(t *testing.T) {
	path, accepted := listen(t)
	c := dial(t, path)
	peer := <-accepted // nobody reads: the message stays half-written
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := c.Do(testContext(t), start("a.service",
		property{"StandardOutputFileDescriptor", dbus.MakeVariant(dbus.UnixFD(int32(w.Fd())))},
		property{"StandardErrorFileDescriptor", dbus.MakeVariant(dbus.UnixFD(-1))})); !errors.Is(err, unix.EBADF) {
		t.Errorf("a call whose second descriptor cannot be duplicated: got %v", err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, start("a.service",
			property{"StandardOutputFileDescriptor", dbus.MakeVariant(dbus.UnixFD(int32(w.Fd())))},
			property{"Description", dbus.MakeVariant(strings.Repeat("x", 4<<20))}))
		failed <- err
	}()
	first := make([]byte, 1)
	if _, err := peer.Read(first); err != nil { // it is being written
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, wire.ErrNoReply) || !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was being written: got %v, want ErrNoReply", err)
	}
	_ = w.Close()
	short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelShort()
	if _, err := c.Do(short, version()); !errors.Is(err, wire.ErrNotSent) {
		t.Errorf("a call that waited behind it: got %v, want ErrNotSent", err)
	}
	// The write end lives on in the message alone; it dies with it.
	c.Close()
	_ = peer.Close()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	if n, err := r.Read(first); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want the end: a duplicate leaked", n, err)
	}
}

func TestRepliesComeInTheOrderOfTheCalls(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dial(t, pid1.SocketPath())
	pid1.Refuse("GetUnit", "org.example.Refused", "not today")
	getUnit := version()
	getUnit.Interface, getUnit.Member, getUnit.Args = "org.freedesktop.systemd1.Manager", "GetUnit", []any{"a.service"}
	replies, err := c.Do(testContext(t), version(), getUnit, version())
	if err != nil {
		t.Fatal(err)
	}
	for i, refused := range []bool{false, true, false} {
		if got := replies[i].Err != nil; got != refused {
			t.Errorf("reply %d: got %+v", i, replies[i])
		}
	}
	if got := replies[1].Err.Error(); got != "not today (org.example.Refused)" {
		t.Errorf("got %q", got)
	}
}

func TestCallsWithDescriptorsAreSentAlone(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dial(t, pid1.SocketPath())
	withFD := start("a.service", property{"StandardOutputFileDescriptor", dbus.MakeVariant(dbus.UnixFD(1))})
	if _, err := c.Do(testContext(t), withFD, version()); err == nil {
		t.Error("a batch with descriptors was sent")
	}
	closed := start("a.service", property{"StandardOutputFileDescriptor", dbus.MakeVariant(dbus.UnixFD(1 << 20))})
	if _, err := c.Do(testContext(t), closed); err == nil {
		t.Error("a descriptor that is not open was sent")
	}
	if n := len(pid1.Calls("")); n != 0 {
		t.Errorf("%d calls were sent, want none", n)
	}
}

func TestACallAfterCloseIsNotSent(t *testing.T) {
	pid1 := fakepid1.New(t)
	c := dial(t, pid1.SocketPath())
	c.Close()
	_, err := c.Do(testContext(t), version())
	if !errors.Is(err, wire.ErrNotSent) || !errors.Is(err, wire.ErrClosed) {
		t.Errorf("got %v, want ErrNotSent and ErrClosed", err)
	}
}
