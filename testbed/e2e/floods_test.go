// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

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
	return block(append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: brokerv1.BrokerService_WatchUnits_FullMethodName},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}, more...))
}

func block(fields []hpack.HeaderField) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range fields {
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// flood writes frames until there are n or the broker has closed the connection, which
// it reports.
func flood(t *testing.T, conn net.Conn, n int, frame func(f *http2.Framer, i int) error) (closed bool) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * stormBound))
	_, err := io.WriteString(conn, http2.ClientPreface)
	if err != nil {
		return true
	}
	go io.Copy(io.Discard, conn) //nolint:errcheck // ends with the connection
	f := http2.NewFramer(conn, nil)
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(); err != nil {
		return true
	}
	sent := 0
	for ; sent < n; sent++ {
		if err = frame(f, sent); err != nil {
			break
		}
	}
	t.Logf("%d of %d rounds were sent", sent, n)
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// largeCalls sends calls whose messages are as large as they may be, and lack their
// last bytes, or do not.
func largeCalls(t *testing.T, uid, gid, calls, lack int) {
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
			conn, err := connectAs(uid, gid, "unixpacket", fdsSocket)
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.SetDeadline(time.Now().Add(stormBound))
			if _, answer, err := hand(conn, fds...); err == nil && answer == "ok" {
				taken.Add(1)
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
