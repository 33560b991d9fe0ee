// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"nomad-systemd-driver/broker/policy"
)

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
	if ctx.Err() == nil && !recorded(err) && s.audit.mayComplain(ctx) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "request failed",
			slog.String("BROKER_REQUEST_ID", requestID(ctx)),
			slog.String("BROKER_METHOD", method),
			slog.String("BROKER_REASON", err.Error()))
	}
	return statusOf(err, requestID(ctx))
}

// recorded reports whether the audit log has err already.
func recorded(err error) bool {
	_, denied := errors.AsType[*policy.Denial](err)
	return denied
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
