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
	"google.golang.org/protobuf/proto"

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
	release, err := held(ctx, req)
	if err == nil {
		defer release()
		resp, err = handler(ctx, req)
	}
	if err == nil {
		err = answered(ctx, resp)
	}
	if err != nil {
		return nil, s.failed(ctx, info.FullMethod, err)
	}
	return resp, nil
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx := withRequestID(ss.Context())
	defer s.recovered(info.FullMethod)
	counted := &countedStream{ServerStream: ss, ctx: ctx, release: func() {}}
	defer func() { counted.release() }()
	return s.failed(ctx, info.FullMethod, handler(srv, counted))
}

// countedStream is a stream with the request's id in its context, whose messages count
// towards what the broker keeps for the client.
type countedStream struct {
	grpc.ServerStream
	ctx     context.Context
	release func()
}

// Context implements grpc.ServerStream.
func (s *countedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream. It is called for the one request.
func (s *countedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	release, err := held(s.ctx, m)
	if err != nil {
		return err
	}
	s.release()
	s.release = release
	return nil
}

// SendMsg implements grpc.ServerStream.
func (s *countedStream) SendMsg(m any) error {
	if err := answered(s.ctx, m); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// held counts a request until it is released.
func held(ctx context.Context, req any) (release func(), err error) {
	info, err := peerInfoOf(ctx)
	if err != nil {
		return nil, err
	}
	return info.meter.hold(elementsOf(req.(proto.Message).ProtoReflect())) //nolint:forcetypeassert // all of the API are
}

// answered counts an answer until it is sent.
func answered(ctx context.Context, resp any) error {
	info, err := peerInfoOf(ctx)
	if err != nil {
		return err
	}
	return info.meter.answer(proto.Size(resp.(proto.Message))) //nolint:forcetypeassert // all of the API are
}

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
