// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// What the broker may use under any storm: three quarters of its unit's MemoryMax=,
// half of its TasksMax=, and a sixteenth of its LimitNOFILE=. Bound is how long another request
// and PID 1 may take meanwhile, in a machine that is emulated.
const (
	stormMemory  = 192 << 10 // in kB
	stormThreads = 64
	stormFDs     = 512
	stormBound   = 10 * time.Second
)

// TestStorms: whatever the client floods the broker with, it stays small, goes on to
// answer on a connection that is there already, and so does PID 1. Afterwards it has
// given all back, and is the same process.
func TestStorms(t *testing.T) {
	nomad, group := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	api := brokerAs(t, nomad, group)
	if _, err := api.Info(t.Context(), &brokerv1.InfoRequest{}); err != nil {
		t.Fatal(err)
	}
	dial := func(t *testing.T) net.Conn {
		t.Helper()
		conn, err := connectAs(nomad, group, "unix", apiSocket)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	pid := mainPID(t, "systemd-brokerd.service")
	for _, storm := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"connections", func(t *testing.T) { // G1
			for range 1000 {
				conn, err := connectAs(nomad, group, "unix", apiSocket)
				if errors.Is(err, unix.EAGAIN) {
					continue // as many wait to be accepted as may
				}
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close() // the broker may have closed it
			}
		}},
		{"silent-connections", func(t *testing.T) { // G2: the rest of the places, until the broker takes them back
			each(14, func() { closedWithin(t, dial(t), nil, stormBound) })
		}},
		{"half-a-preface", func(t *testing.T) { // G3
			each(14, func() { closedWithin(t, dial(t), []byte(http2.ClientPreface[:12]), stormBound) })
		}},
		{"half-a-frame", func(t *testing.T) { // G4, G8: a frame that never ends
			each(14, func() {
				half := append([]byte(http2.ClientPreface), 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x40, 0, 1, 4, 0, 0, 0, 1, 0x82)
				conn := dial(t)
				defer conn.Close()
				_, _ = conn.Write(half)
				for range 30 {
					_, _ = conn.Write([]byte{0x84})
					time.Sleep(100 * time.Millisecond) // one byte now and then is the attack
				}
			})
		}},
		{"continuations", func(t *testing.T) { // G5
			flood(t, dial(t), 20000, func(f *http2.Framer, i int) error {
				if i == 0 {
					return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
				}
				return f.WriteContinuation(1, false, headers(hugeHeader))
			})
		}},
		{"resets", func(t *testing.T) { // G6
			flood(t, dial(t), 20000, func(f *http2.Framer, i int) error {
				id := uint32(2*i + 1)
				if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(nil), EndHeaders: true}); err != nil {
					return err
				}
				return f.WriteRSTStream(id, http2.ErrCodeCancel)
			})
		}},
		{"settings-and-pings", func(t *testing.T) { // G7
			flood(t, dial(t), 20000, func(f *http2.Framer, i int) error {
				if i%2 == 0 {
					return f.WriteSettings()
				}
				return f.WritePing(false, [8]byte{})
			})
		}},
		{"streams-that-nobody-reads", func(t *testing.T) { // G9, G14
			each(8, func() {
				flood(t, dial(t), 1024, func(f *http2.Framer, i int) error {
					if i == 0 {
						if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
							return err
						}
					}
					id := uint32(2*i + 1)
					if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(largeHeader), EndHeaders: true}); err != nil {
						return err
					}
					return f.WriteData(id, true, make([]byte, 5)) // an empty message
				})
			})
		}},
		{"large-messages", func(t *testing.T) { // G10
			each(14, func() {
				spec := &brokerv1.UnitSpec{Id: rand.Text(), Args: []string{strings.Repeat("x", 5<<20)}}
				_, err := api.CheckStart(t.Context(), &brokerv1.CheckStartRequest{Spec: spec})
				if status.Code(err) != codes.ResourceExhausted {
					t.Errorf("a message of 5 MiB: %v", err)
				}
				spec.Args, spec.Env = nil, make(map[string]string)
				for i := range 20000 {
					spec.Env["KEY"+strconv.Itoa(i)] = ""
				}
				if _, err := api.CheckStart(t.Context(), &brokerv1.CheckStartRequest{Spec: spec}); err == nil {
					t.Error("20000 variables are no mistake")
				}
			})
			flood(t, dial(t), 100, func(f *http2.Framer, i int) error {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: headers(hugeHeader), EndHeaders: true})
			})
		}},
		{"half-messages", func(t *testing.T) { largeCalls(t, 400, 64) }},
		{"whole-messages", func(t *testing.T) { largeCalls(t, 400, 0) }},
		{"pieces", func(t *testing.T) { pieces(t, dial, 15<<10, 0, func(*http2.Framer, uint32) error { return nil }) }},
		{"small-pieces", func(t *testing.T) { pieces(t, dial, 32, 0, func(*http2.Framer, uint32) error { return nil }) }},
		{"padded-pieces", func(t *testing.T) {
			pieces(t, dial, 256, http2.FlagDataPadded, func(*http2.Framer, uint32) error { return nil })
		}},
		{"pieces-of-calls-taken-back", func(t *testing.T) {
			pieces(t, dial, 15<<10, 0, func(f *http2.Framer, id uint32) error { return f.WriteRSTStream(id, http2.ErrCodeCancel) })
		}},
		{"elements", func(t *testing.T) { // small on the wire, large in memory
			req := &brokerv1.CheckStartRequest{Spec: &brokerv1.UnitSpec{Id: rand.Text()}}
			for range 500000 {
				req.Spec.Volumes = append(req.Spec.Volumes, new(brokerv1.Volume))
			}
			text, err := proto.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			each(64, func() {
				if _, err := api.CheckStart(t.Context(), nil, grpc.ForceCodec(encoded(text))); err == nil {
					t.Error("500000 volumes are no mistake")
				}
			})
		}},
		{"descriptors", func(t *testing.T) { handOverStorm(t, nomad, group) }}, // E6, E9
		{"denials", func(t *testing.T) { // G13: each is a record, but not for ever
			each(8, func() {
				for range 100 {
					_, err := api.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
						Id: rand.Text(), Name: []string{"storm"}, Command: "/usr/bin/id", Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
					}})
					if err == nil {
						t.Error("it was started")
					}
				}
			})
		}},
		{"starts", func(t *testing.T) { startStorm(t, api, nomad, group) }}, // G11, G12
	} {
		t.Run(storm.name, func(t *testing.T) {
			before := usage(t, pid)
			watch := watchBroker(t, pid, api)
			from := time.Now()
			storm.run(t)
			took := time.Since(from)
			most := watch()
			name := "storm/" + storm.name
			t.Logf("FIGURE %s/time %.1f s", name, took.Seconds())
			t.Logf("FIGURE %s/rss %.1f MiB", name, float64(most.memory)/1024)
			t.Logf("FIGURE %s/threads %d threads", name, most.threads)
			t.Logf("FIGURE %s/fds %d fds", name, most.fds)
			t.Logf("FIGURE %s/other-request %.2f s", name, most.answer.Seconds())
			t.Logf("FIGURE %s/pid-1 %.2f s", name, most.pid1.Seconds())
			if most.memory > stormMemory || most.threads > stormThreads || most.fds > stormFDs {
				t.Errorf("the broker used %d kB, %d threads and %d descriptors", most.memory, most.threads, most.fds)
			}
			if most.answer > stormBound || most.pid1 > stormBound || most.answers == 0 {
				t.Errorf("%d other requests took %s at most, PID 1 %s", most.answers, most.answer, most.pid1)
			}
			givenBack(t, pid, before.fds)
		})
	}
	if now := mainPID(t, "systemd-brokerd.service"); now != pid {
		t.Errorf("the broker was %d and is %d", pid, now)
	}
}

// encoded sends a request that is encoded already: a storm is to cost the broker, not
// this machine.
type encoded []byte

func (e encoded) Marshal(any) ([]byte, error) { return e, nil }

func (encoded) Unmarshal(text []byte, v any) error { return proto.Unmarshal(text, v.(proto.Message)) }

func (encoded) Name() string { return "proto" }

// load is what the broker uses, and how fast it and PID 1 answer, at worst.
type load struct {
	memory, threads, fds, answers int
	answer, pid1                  time.Duration
}

func usage(t *testing.T, pid int) load {
	t.Helper()
	fields := procStatus(t, pid)
	number := func(name string) int {
		n, err := strconv.Atoi(strings.Fields(fields[name])[0])
		if err != nil {
			t.Error(err)
		}
		return n
	}
	fds, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Error(err)
	}
	return load{memory: number("VmRSS"), threads: number("Threads"), fds: len(fds)}
}

// watchBroker measures until its result is called, which returns the worst.
func watchBroker(t *testing.T, pid int, api brokerv1.BrokerServiceClient) func() load {
	t.Helper()
	var most load
	var wg sync.WaitGroup
	stop := make(chan struct{})
	every := func(f func()) {
		wg.Go(func() {
			for {
				f()
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	every(func() {
		now := usage(t, pid)
		most.memory, most.threads, most.fds = max(most.memory, now.memory), max(most.threads, now.threads), max(most.fds, now.fds)
	})
	every(func() {
		from := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*stormBound)
		defer cancel()
		if _, err := api.ListUnits(ctx, &brokerv1.ListUnitsRequest{}); err != nil {
			t.Errorf("another request meanwhile: %v", err)
		}
		most.answers++
		most.answer = max(most.answer, time.Since(from))
	})
	every(func() {
		from := time.Now()
		run(t, "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping")
		most.pid1 = max(most.pid1, time.Since(from))
	})
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	t.Cleanup(end)
	return func() load { end(); return most }
}

// givenBack waits until the broker has no more descriptors than before: what nobody
// takes is closed after 30 s.
func givenBack(t *testing.T, pid, before int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	now := usage(t, pid).fds
	for ; now > before+2 && time.Now().Before(deadline); now = usage(t, pid).fds {
		time.Sleep(100 * time.Millisecond) // /proc tells no events
	}
	if now > before+2 {
		t.Errorf("the broker had %d descriptors before, and has %d", before, now)
	}
}

func each(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// closedWithin sends what there is and waits for the end of the connection.
func closedWithin(t *testing.T, conn net.Conn, send []byte, bound time.Duration) {
	defer conn.Close()
	_, _ = conn.Write(send)
	_ = conn.SetReadDeadline(time.Now().Add(bound))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the broker has not closed the connection after %s", bound)
	}
}

// largeHeader is almost all that a call may have, hugeHeader is more.
var largeHeader = []hpack.HeaderField{{Name: "x", Value: strings.Repeat("x", 3<<10)}}

var hugeHeader = []hpack.HeaderField{{Name: "x", Value: strings.Repeat("x", 12<<10)}}

// headers is the header block of a call, with more.
func headers(more []hpack.HeaderField) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	call := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: brokerv1.BrokerService_WatchUnits_FullMethodName},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}
	for _, f := range append(call, more...) {
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// flood writes frames until there are n or the broker has closed the connection.
func flood(t *testing.T, conn net.Conn, n int, frame func(f *http2.Framer, i int) error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * stormBound))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return
	}
	go io.Copy(io.Discard, conn) //nolint:errcheck // ends with the connection
	f := http2.NewFramer(conn, nil)
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(); err != nil {
		return
	}
	sent := 0
	for ; sent < n; sent++ {
		if err := frame(f, sent); err != nil {
			break
		}
	}
	t.Logf("%d of %d rounds were sent", sent, n)
}

// largeCalls sends calls whose messages are as large as they may be, and lack their
// last bytes, or do not.
func largeCalls(t *testing.T, calls, lack int) {
	uid, gid := idOf(t, "-u", "nomad"), idOf(t, "-g", "nomad")
	const size = 1 << 20
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return connectAs(uid, gid, "unix", apiSocket)
	}}
	defer client.CloseIdleConnections()
	var sent atomic.Int64
	var ends sync.WaitGroup
	for range calls {
		body := io.MultiReader(
			bytes.NewReader([]byte{0, 0, size >> 16 & 0xff, 0, 0}), io.LimitReader(zeros{}, int64(size-lack)),
			reader(func([]byte) (int, error) {
				sent.Add(1)
				if lack > 0 {
					<-ctx.Done()
				}
				return 0, io.EOF
			}))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+brokerv1.BrokerService_CheckStart_FullMethodName, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		ends.Go(func() {
			resp, err := client.RoundTrip(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	ended := make(chan struct{})
	go func() { ends.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * stormBound):
	}
	cancel()
	<-ended
	t.Logf("FIGURE storm/large-calls/sent %d calls", sent.Load())
}

// pieces opens calls on each of eight connections and sends of each the beginning of
// its message in pieces of a size, as much as may come before the broker asks for more.
func pieces(t *testing.T, dial func(t *testing.T) net.Conn, size int, flags http2.Flags, end func(f *http2.Framer, id uint32) error) {
	const window, calls = 60 << 10, 1000
	each(8, func() {
		flood(t, dial(t), calls, func(f *http2.Framer, i int) error {
			id := uint32(2*i + 1)
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(nil), EndHeaders: true}); err != nil {
				return err
			}
			piece := make([]byte, size)
			copy(piece[min(size-1, 1):], []byte{0, 0x10, 0, 0}[:min(4, size-1)]) // a message of a megabyte
			for range window / size {
				if err := f.WriteRawFrame(http2.FrameData, flags, id, piece); err != nil {
					return err
				}
			}
			return end(f, id)
		})
	})
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// zeros are no field of any message, should one be decoded.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// handOverStorm hands over more sets than may wait, and messages with more
// descriptors than any call needs.
func handOverStorm(t *testing.T, uid, gid int) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fchown(pipe[1], uid, gid); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0]) //nolint:errcheck // a test's
	defer unix.Close(pipe[1]) //nolint:errcheck // a test's
	many := make([]int, 250)
	for i := range many {
		many[i] = pipe[1]
	}
	var taken atomic.Int64
	each(4, func() {
		for i := range 50 {
			fds := many[:2]
			if i%5 == 0 {
				fds = many
			}
			token := make([]byte, 32)
			_, _ = rand.Read(token)
			conn, err := connectAs(uid, gid, "unixpacket", fdsSocket)
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.SetDeadline(time.Now().Add(stormBound))
			if _, _, err := conn.WriteMsgUnix([]byte(hex.EncodeToString(token)), unix.UnixRights(fds...), nil); err == nil {
				answer := make([]byte, 256)
				if n, _ := conn.Read(answer); string(answer[:n]) == "ok" {
					taken.Add(1)
				}
			}
			_ = conn.Close()
		}
	})
	t.Logf("FIGURE storm/descriptors/taken %d sets", taken.Load())
	if taken.Load() == 0 || taken.Load() > 64 {
		t.Errorf("%d sets of descriptors wait", taken.Load())
	}
}

// startStorm starts units that end at once, and removes them.
func startStorm(t *testing.T, api brokerv1.BrokerServiceClient, uid, gid int) {
	dirs := raceDirectories(t, uid, gid)
	var started, refused atomic.Int64
	each(8, func() {
		for range 5 {
			resp, err := api.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{
				Id: rand.Text(), Name: []string{"storm"}, Command: hello, Args: []string{"exit", "0"},
				Directories: dirs, WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
				Logging: &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
			}})
			if err != nil {
				refused.Add(1)
				t.Logf("a start: %v", err)
				continue
			}
			started.Add(1)
			if _, err := api.RemoveUnit(t.Context(), &brokerv1.RemoveUnitRequest{Handle: resp.GetUnit().GetHandle()}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Logf("FIGURE storm/starts/started %d units", started.Load())
	t.Logf("FIGURE storm/starts/refused %d units", refused.Load())
	if started.Load() == 0 {
		t.Error("nothing was started")
	}
}
