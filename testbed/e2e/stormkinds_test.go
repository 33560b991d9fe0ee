// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

type storm struct {
	name string
	run  func(t *testing.T)
}

// stormsOf are all that a user can do, and api is the broker to it.
func stormsOf(uid, gid int, api brokerv1.BrokerServiceClient) []storm {
	dial := func(t *testing.T) net.Conn {
		t.Helper()
		conn, err := connectAs(uid, gid, "unix", apiSocket)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	return []storm{
		{"connections", func(t *testing.T) { // G1
			for range 1000 {
				conn, err := connectAs(uid, gid, "unix", apiSocket)
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
		{"half-a-frame", func(t *testing.T) { // G4, G8: a frame that never ends, until the broker looks whether its client is there
			each(14, func() {
				conn := dial(t)
				defer conn.Close()
				_, err := conn.Write(append([]byte(http2.ClientPreface), 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x10, 0, 1, 4, 0, 0, 0, 1, 0x82))
				for end := time.Now().Add(6 * stormBound); err == nil && time.Now().Before(end); {
					_, err = conn.Write([]byte{0x84})
					time.Sleep(100 * time.Millisecond) // one byte now and then is the attack
				}
				if err == nil {
					t.Errorf("the broker has not closed the connection after %s", 6*stormBound)
				}
			})
		}},
		{"continuations", func(t *testing.T) { // G5
			if !flood(t, dial(t), 20000, func(f *http2.Framer, i int) error {
				if i == 0 {
					return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)})
				}
				return f.WriteContinuation(1, false, block(hugeHeader))
			}) {
				t.Error("the broker takes headers without end")
			}
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
			if !flood(t, dial(t), 20000, func(f *http2.Framer, i int) error {
				if i%2 == 0 {
					return f.WriteSettings()
				}
				return f.WritePing(false, [8]byte{})
			}) {
				t.Error("the broker takes as many pings as there are")
			}
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
		{"half-messages", func(t *testing.T) { largeCalls(t, uid, gid, 400, 64) }},
		{"whole-messages", func(t *testing.T) { largeCalls(t, uid, gid, 400, 0) }},
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
		{"descriptors", func(t *testing.T) { handOverStorm(t, uid, gid) }},    // E6, E9
		{"denials", func(t *testing.T) { denied(t, api, 800, deniedSpec()) }}, // G13: each is a record, but not for ever
		{"long-denials", func(t *testing.T) { // G13: records as large as they get
			spec := deniedSpec()
			spec.Args, spec.Labels = []string{strings.Repeat("x", 100<<10)}, make(map[string]string)
			for i := range 32 {
				spec.Labels["NOMAD_LABEL_"+strconv.Itoa(i)] = strings.Repeat("x", 256)
			}
			for i := range 20 {
				spec.Volumes = append(spec.Volumes, &brokerv1.Volume{Source: "/" + strings.Repeat("x/", 1200) + strconv.Itoa(i), Destination: "/volume" + strconv.Itoa(i)})
			}
			denied(t, api, 200, spec)
		}},
		{"starts", func(t *testing.T) { startStorm(t, api, uid, gid) }}, // G11, G12
	}
}

// encoded sends a request that is encoded already: a storm is to cost the broker, not
// this machine.
type encoded []byte

func (e encoded) Marshal(any) ([]byte, error) { return e, nil }

func (encoded) Unmarshal(text []byte, v any) error { return proto.Unmarshal(text, v.(proto.Message)) }

func (encoded) Name() string { return "proto" }

// deniedSpec is a program that no rule allows.
func deniedSpec() *brokerv1.UnitSpec {
	const alloc = "/var/lib/nomad/alloc/00000000-0000-0000-0000-000000000000/"
	return &brokerv1.UnitSpec{
		Name: []string{"storm"}, Command: "/usr/bin/id", WorkingDirectory: "/", Resources: &brokerv1.Resources{MemoryMaxBytes: 64 << 20},
		Directories: &brokerv1.Directories{Alloc: alloc + "alloc", Local: alloc + "task/local", Secrets: alloc + "task/secrets"},
		Logging:     &brokerv1.Logging{Driver: brokerv1.Logging_DRIVER_NONE},
	}
}

// denied asks for what policy denies, n times.
func denied(t *testing.T, api brokerv1.BrokerServiceClient, n int, spec *brokerv1.UnitSpec) {
	each(8, func() {
		for range n / 8 {
			mine := proto.CloneOf(spec)
			mine.Id = rand.Text()
			if _, err := api.StartUnit(t.Context(), &brokerv1.StartUnitRequest{Spec: mine}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("what no rule allows: %v", err)
			}
		}
	})
}
