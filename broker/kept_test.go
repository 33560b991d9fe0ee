// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// keepsNothing waits until all that calls took is given back.
func (w *world) keepsNothing() {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		w.server.kept.mu.Lock()
		total := w.server.kept.total
		w.server.kept.mu.Unlock()
		if total == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d bytes are kept of no call", total)
		}
		<-time.After(time.Millisecond) // the server tells no events of its frames
	}
}

// TestHalfMessagesAreBounded: calls whose messages lack their last bytes end with the
// connection, and others are answered meanwhile.
func TestHalfMessagesAreBounded(t *testing.T) {
	w := newWorld(t)
	const calls, size = 100, maxMessage
	ctx, cancel := context.WithCancel(w.ctx())
	defer cancel()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.socket)
	}}
	defer client.CloseIdleConnections()
	var whole atomic.Int64
	ends := make(chan error, calls)
	for range calls {
		go func() {
			body := io.MultiReader(bytes.NewReader([]byte{0, 0, size >> 16, 0, 0}), io.LimitReader(zeros{}, size-64),
				readerFunc(func([]byte) (int, error) { whole.Add(1); <-ctx.Done(); return 0, io.EOF }))
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+brokerv1.BrokerService_CheckStart_FullMethodName, body)
			if err != nil {
				ends <- err
				return
			}
			req.Header.Set("Content-Type", "application/grpc")
			resp, err := client.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			ends <- err
		}()
	}
	if err := <-ends; err == nil {
		t.Error("a call without its last bytes was answered")
	}
	if n := whole.Load(); n > maxKeptPerUID/size {
		t.Errorf("the broker took %d messages of %d bytes but their ends", n, size)
	}
	if _, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{}); err != nil {
		t.Errorf("another call meanwhile: %v", err)
	}
	cancel()
	for range calls - 1 {
		if err := <-ends; err == nil {
			t.Error("a call without its last bytes was answered")
		}
	}
	w.keepsNothing()
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestCallsGiveBackWhatTheyTook: those that are answered, refused, too large, of no
// method, and taken back.
func TestCallsGiveBackWhatTheyTook(t *testing.T) {
	w := newWorld(t)
	w.start("a/1")
	_, err := w.client.StartUnit(w.ctx(), &brokerv1.StartUnitRequest{Spec: &brokerv1.UnitSpec{}})
	wantCode(t, err, codes.InvalidArgument, "id")
	_, err = w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: &brokerv1.UnitSpec{Id: strings.Repeat("x", 5<<20)}})
	wantCode(t, err, codes.ResourceExhausted, "")
	err = w.conn.Invoke(w.ctx(), "/broker.v1.BrokerService/Nothing", &brokerv1.InfoRequest{}, &brokerv1.InfoResponse{})
	wantCode(t, err, codes.Unimplemented, "")
	ctx, cancel := context.WithCancel(w.ctx())
	for range 20 {
		stream, err := w.client.WatchUnits(ctx, &brokerv1.WatchUnitsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	w.keepsNothing()
}

// TestStreamOverTheBudgetIsRefused: its request fits as it comes, and not any more when
// it is decoded. The broker goes on.
func TestStreamOverTheBudgetIsRefused(t *testing.T) {
	w := newWorld(t)
	uid := uint32(os.Getuid())
	const left = 128 << 10
	if !w.server.kept.take(uid, maxKeptPerUID-left) {
		t.Fatal("the budget is taken already")
	}
	stream, err := w.client.ExecInUnit(w.ctx(), &brokerv1.ExecInUnitRequest{Spec: &brokerv1.UnitSpec{Args: make([]string, 2*left/elementCost)}})
	if err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.ResourceExhausted, "too large together")
	w.server.kept.give(uid, maxKeptPerUID-left)
	if _, err := w.client.Info(w.ctx(), &brokerv1.InfoRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
	w.keepsNothing()
}

// TestRequestOfManyElementsIsRefused: a megabyte of elements without content would
// take a hundred when it is decoded.
func TestRequestOfManyElementsIsRefused(t *testing.T) {
	w := newWorld(t)
	spec := w.spec("a/1")
	for range 100000 {
		spec.Volumes = append(spec.Volumes, &brokerv1.Volume{})
	}
	_, err := w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: spec})
	wantCode(t, err, codes.Internal, "the request has over 20000 elements")

	spec = w.spec("a/1") // as much as a request may have
	spec.Args, spec.Env = make([]string, maxArgs), make(map[string]string)
	for i := range maxEnvs {
		spec.Env["E"+strconv.Itoa(i)] = ""
	}
	if _, err := w.client.CheckStart(w.ctx(), &brokerv1.CheckStartRequest{Spec: spec}); err != nil {
		t.Errorf("the longest command line and environment: %v", err)
	}
}

func TestElementsAreCounted(t *testing.T) {
	spec := &brokerv1.UnitSpec{
		Id: "a", Name: []string{"a", "b"}, Labels: map[string]string{"K": "v"}, Args: []string{"", ""},
		Volumes: []*brokerv1.Volume{{}, {}},
	}
	b, err := proto.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 1) // unknown
	left := 100
	const want = 1 + 2 + 3 + 2 + 2
	if err := countElements(b, spec.ProtoReflect().Descriptor(), &left); err != nil || 100-left != want+1 {
		t.Errorf("got %d elements, %v; want %d", 100-left, err, want+1)
	}
	if n := elementsOf(spec.ProtoReflect()); n != want {
		t.Errorf("got %d elements of the decoded message, want %d", n, want)
	}
	for _, broken := range [][]byte{{0x0a}, {0x0a, 5, 'x'}, {0xff}} {
		if err := countElements(broken, spec.ProtoReflect().Descriptor(), &left); err == nil {
			t.Errorf("%x is a message", broken)
		}
	}
}
