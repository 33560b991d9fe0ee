// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
)

// audit writes one record for each decision and each event in the life of a
// unit. It never writes arguments or the environment: they may hold secrets.
// Text that comes from a client goes into attributes, which the log handler
// keeps apart from the message.
type audit struct{ log *slog.Logger }

func (a *audit) refusedPeer(p policy.Peer) {
	a.log.Warn("connection refused: not a client of the policy",
		slog.Uint64("BROKER_PEER_UID", uint64(p.UID)), slog.Int("BROKER_PEER_PID", int(p.PID)))
}

func (a *audit) decided(ctx context.Context, p policy.Peer, r *policy.Request, d *policy.Decision, sha256 string, err error) {
	attrs := []slog.Attr{
		slog.String("BROKER_REQUEST_ID", requestID(ctx)),
		slog.Uint64("BROKER_PEER_UID", uint64(p.UID)),
		slog.Int("BROKER_PEER_PID", int(p.PID)),
		slog.String(fieldID, r.ID),
		slog.String("BROKER_COMMAND", r.Command),
		slog.String("BROKER_POLICY_SHA256", sha256),
	}
	for k, v := range r.Labels {
		attrs = append(attrs, slog.String(k, v))
	}
	what := "start"
	if r.Session {
		what = "session"
	}
	if err != nil {
		attrs = append(attrs, slog.String("BROKER_REASON", err.Error()))
		a.log.LogAttrs(ctx, slog.LevelWarn, what+" denied", attrs...)
		return
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, what+" allowed", append(attrs, slog.String(fieldRule, d.Rule()))...)
}

func (a *audit) started(ctx context.Context, r *record, d *policy.Decision, err error) {
	a.event(ctx, r, "unit started", "unit could not be started", err, slog.String(fieldRule, d.Rule()))
}

func (a *audit) stopped(ctx context.Context, r *record, err error) {
	a.event(ctx, r, "unit stopped", "unit could not be stopped", err)
}

func (a *audit) removed(ctx context.Context, r *record, err error) {
	a.event(ctx, r, "unit removed", "unit could not be removed", err)
}

func (a *audit) ended(name string, st *systemd.Status) {
	e := exitOf(st)
	a.log.Info("unit ended", slog.String("BROKER_UNIT", name), slog.String("BROKER_RESULT", st.Result),
		slog.Int("BROKER_EXIT_CODE", int(e.GetCode())), slog.Int("BROKER_EXIT_SIGNAL", int(e.GetSignal())))
}

func (a *audit) event(ctx context.Context, r *record, good, bad string, err error, more ...slog.Attr) {
	attrs := append([]slog.Attr{
		slog.String("BROKER_REQUEST_ID", requestID(ctx)),
		slog.String("BROKER_UNIT", r.unit),
		slog.String(fieldID, r.id),
	}, more...)
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, bad, append(attrs, slog.String("BROKER_REASON", err.Error()))...)
		return
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, good, attrs...)
}

type requestIDKey struct{}

// requestID names the RPC that ctx belongs to, in answers and in the journal.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

func withRequestID(ctx context.Context) context.Context {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return context.WithValue(ctx, requestIDKey{}, hex.EncodeToString(b[:]))
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx = withRequestID(ctx)
	defer s.recovered(info.FullMethod)
	resp, err = handler(ctx, req)
	if err != nil {
		return nil, s.failed(ctx, info.FullMethod, err)
	}
	return resp, nil
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx := withRequestID(ss.Context())
	defer s.recovered(info.FullMethod)
	return s.failed(ctx, info.FullMethod, handler(srv, contextStream{ss, ctx}))
}

// contextStream is a stream with the request's id in its context.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s contextStream) Context() context.Context { return s.ctx }

// failed logs an error once and translates it once.
func (s *Server) failed(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "request failed",
			slog.String("BROKER_REQUEST_ID", requestID(ctx)),
			slog.String("BROKER_METHOD", method),
			slog.String("BROKER_REASON", err.Error()))
	}
	return statusOf(err, requestID(ctx))
}

// recovered logs a panic and lets it end the process: the state is not known
// then, and the next broker reads it anew from systemd.
func (s *Server) recovered(method string) {
	if v := recover(); v != nil {
		s.log.Error("internal error; the broker ends and is started again", slog.String("BROKER_METHOD", method),
			slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		panic(v)
	}
}
