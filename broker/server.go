// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/program"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Systemd is what the broker needs of PID 1; *systemd.Conn provides it. Start
// takes only what unit.From made of a policy decision.
type Systemd interface {
	Start(ctx context.Context, u *unit.Unit) (systemd.Status, error)
	Status(ctx context.Context, name string) (systemd.Status, error)
	StatusListed(ctx context.Context, name string) (systemd.Status, error)
	Kill(ctx context.Context, name string, who systemd.Who, sig unix.Signal) error
	Stop(ctx context.Context, name string) error
	ResetFailed(ctx context.Context, name string) error
	SetCPUs(ctx context.Context, name string, cpus []uint32) error
	List(ctx context.Context, pattern string) ([]string, error)
	Next(ctx context.Context) (systemd.Changes, error)
	Health() error
	Version() string
	Features() string
	Close() error
}

// Config is what a Server is made of. All fields but Audit must be set.
type Config struct {
	// Connect opens the connection to PID 1 that reports changes of the units
	// that watch selects.
	Connect func(ctx context.Context, watch func(unit string) bool) (Systemd, error)
	// Policy is in force until SetPolicy.
	Policy *policy.Policy
	// Mounts shows PID 1 the directories of clients.
	Mounts Mounts
	// RuntimeDir is the broker's directory below /run, writable by root only.
	RuntimeDir string
	Log        *slog.Logger
	// Audit takes the record of each decision and of each event in the life of a
	// unit; nil for Log.
	Audit Sink
	// Version is the broker's own, for Info.
	Version string
}

// Server serves the broker API. See the package's documentation.
type Server struct {
	brokerv1.UnimplementedBrokerServiceServer

	config  Config
	log     *slog.Logger
	audit   *audit
	systemd Systemd
	policy  atomic.Pointer[policy.Policy]
	refused atomic.Bool // the last policy that was to be loaded
	clients atomic.Pointer[clients]
	units   *registry
	fds     *fdStore
	kept    *budget
	keys    *keyFiles
	turns   *turns
	// programs are those of the host.
	programs program.Host
	dirs     dirs
	key      []byte // see digest
	// lingerDir and cgroups are the constants, but for tests.
	lingerDir, cgroups string
	kernel             string
	bpfLSM             bool

	counters *counters
	began    time.Time

	// readPeer is a seam for tests, which cannot be another user.
	readPeer func(net.Conn) (policy.Peer, error)

	// program is this one, which opens directories in the view of a unit.
	program string

	// dynamicUIDs is where systemd has a file for each ephemeral uid that somebody has.
	dynamicUIDs string

	// startTimeout is the constant, but for tests.
	startTimeout time.Duration

	// closing is closed when the server stops; background counts the starts,
	// stops and removals that go on without their caller. What is neither of a
	// call nor in the background itself begins such work by unlessClosing only.
	closing    chan struct{}
	closeMutex sync.Mutex
	background sync.WaitGroup
}

// New prepares a server: it builds the broker's directories and reads the
// units of an earlier broker back from PID 1.
func New(ctx context.Context, c Config) (*Server, error) {
	pool, err := newCPUPool()
	if err != nil {
		return nil, err
	}
	closing := make(chan struct{})
	s := &Server{
		config: c, log: c.Log, audit: newAudit(c.Audit, c.Log),
		units: newRegistry(pool), fds: newFDStore(), kept: newBudget(), keys: newKeyFiles(), turns: newTurns(closing), closing: closing,
		readPeer: readPeer, startTimeout: startTimeout, lingerDir: lingerDir, cgroups: cgroupRoot, dynamicUIDs: "/run/systemd/dynamic-uid",
		counters: newCounters(), began: time.Now(),
	}
	if err := openat2Works(); err != nil {
		return nil, err
	}
	if s.program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	if s.dirs, err = makeDirs(c.RuntimeDir); err != nil {
		return nil, err
	}
	if s.key, err = digestKey(c.RuntimeDir); err != nil {
		return nil, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("cannot read the kernel's version: %w", err)
	}
	s.kernel = unix.ByteSliceToString(name.Release[:])
	s.bpfLSM = bpfLSM()
	if s.systemd, err = c.Connect(ctx, s.mine); err != nil {
		return nil, err
	}
	if err := s.SetPolicy(ctx, c.Policy); err != nil {
		return nil, err
	}
	units, err := s.systemd.List(ctx, brokerMade)
	if err != nil {
		return nil, err
	}
	s.abandonStraySessions(ctx, units)
	if err := s.clearStaged(ctx); err != nil {
		return nil, err
	}
	if err := s.clearRequests(units); err != nil {
		return nil, fmt.Errorf("cannot clear the requests of units that are gone: %w", err)
	}
	return s, s.clearStarts()
}

// SetPolicy puts p in force for every decision from now on, and reads back from
// PID 1 the units of clients that the broker did not know. After an error the
// policy is the one before.
func (s *Server) SetPolicy(ctx context.Context, p *policy.Policy) error {
	known, err := s.knownClients(ctx, p)
	if err != nil {
		return fmt.Errorf("cannot read the units back from systemd: %w", err)
	}
	before := s.clients.Swap(known)
	adopted, err := s.adopt(ctx)
	if err != nil && before != nil {
		s.clients.Store(before)
	}
	if err != nil {
		return fmt.Errorf("cannot read the units back from systemd: %w", err)
	}
	if before != nil {
		// Who follows PID 1 was told of a change between reading a unit and knowing it, and
		// did not heed it. Of the first policy's units, he will be told later.
		for _, name := range adopted {
			s.refresh(ctx, name)
		}
	}
	s.policy.Store(p)
	s.refused.Store(false)
	if p.SHA256() != "" {
		s.audit.policyLoaded(p.SHA256())
	}
	s.tellUnwanted(ctx, p)
	return nil
}

// PolicyRefused records that a new policy could not be loaded; the one in force
// stays.
func (s *Server) PolicyRefused(err error) {
	s.refused.Store(true)
	s.audit.policyRefused(s.policy.Load().SHA256(), err)
}

// Close ends the connection to PID 1. The units go on.
func (s *Server) Close() {
	s.audit.flush()
	_ = s.systemd.Close()
}

// Units is the number of units the server knows.
func (s *Server) Units() int { return len(s.units.names()) }

// close begins the end of the server.
func (s *Server) close() {
	s.closeMutex.Lock()
	defer s.closeMutex.Unlock()
	if !ended(s.closing) {
		close(s.closing)
	}
}

// unlessClosing runs f as work that a server which ends waits for; false if it
// ends already.
func (s *Server) unlessClosing(f func()) bool {
	s.closeMutex.Lock()
	if ended(s.closing) {
		s.closeMutex.Unlock()
		return false
	}
	s.background.Add(1)
	s.closeMutex.Unlock()
	defer s.background.Done()
	f()
	return true
}

// onClosing runs f when the server begins to end, unless stop was called before.
func (s *Server) onClosing(f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-s.closing:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// Limits of the gRPC server; most of gRPC's own defaults have no bound.
const (
	maxMessage = 1 << 20
	maxHeaders = 4 << 10
	// maxStreams: each stop and each session is a call that lasts, and a client
	// has one connection for all its units. A drain stops them all at once.
	maxStreams = 1024
	// window is the least that HTTP/2 and gRPC know.
	window          = 64 << 10
	handshakeLimit  = 5 * time.Second
	shutdownTimeout = 5 * time.Second
)

// Serve answers clients on l until ctx ends, and keeps the units' states true
// to PID 1 meanwhile.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	srv := grpc.NewServer(
		grpc.Creds(peerCredentials{s.readPeer, s.admit}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(4*maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		// Windows that no client can make larger, and exactly the memory that a frame needs.
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		experimental.BufferPool(mem.NopBufferPool{}),
		grpc.ForceServerCodecV2(requestCodec{encoding.GetCodecV2(grpcproto.Name)}),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute, Time: 30 * time.Second, Timeout: 10 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.counters.countUnary, s.unary),
		grpc.ChainStreamInterceptor(s.counters.countStream, s.stream),
		grpc.WaitForHandlers(true),
	)
	brokerv1.RegisterBrokerServiceServer(srv, s)
	// What goes on in the background needs the news from systemd to its end.
	news, stopNews := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNews()
	var following, closed sync.WaitGroup
	following.Go(func() {
		if err := s.follow(news); news.Err() == nil {
			cancel(fmt.Errorf("cannot follow systemd: %w", err))
		}
	})
	following.Go(func() { s.keepCPUs(news) })
	closed.Go(func() {
		<-ctx.Done()
		s.close()
		force := time.AfterFunc(shutdownTimeout, srv.Stop)
		defer force.Stop()
		srv.GracefulStop()
	})
	err := srv.Serve(newCallListener(l, s.log, s.kept))
	cancel(err)
	closed.Wait() // no call is left that could begin anything
	s.background.Wait()
	stopNews()
	following.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}
