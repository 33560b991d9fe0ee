// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// callTimeout bounds a call that waits for nothing but the broker itself.
const callTimeout = 30 * time.Second

// restartTime is how long a start waits for a broker that is away: longer than
// an upgrade takes. An error would cost the task one of its restarts. A
// variable for tests.
var restartTime = 10 * time.Second

// broker is the connection to systemd-brokerd. It renews itself.
type broker struct {
	brokerv1.BrokerServiceClient
	conn      *grpc.ClientConn
	fdSocket  string
	serverUID uint32
	health    *health
	// handing holds one token for each hand-over under way.
	handing chan struct{}
}

func newBroker(c Config, serverUID uint32) (*broker, error) {
	conn, err := grpc.NewClient("unix://"+c.BrokerSocket,
		grpc.WithTransportCredentials(serverCredentials{serverUID}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4<<20)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the broker at %s: %w", c.BrokerSocket, err)
	}
	return &broker{
		BrokerServiceClient: brokerv1.NewBrokerServiceClient(conn), conn: conn,
		fdSocket: c.FDSocket, serverUID: serverUID, health: newHealth(),
		handing: make(chan struct{}, maxHandOvers),
	}, nil
}

// await returns once there is a connection, or the restartTime is over; what is
// wrong then, the next call tells.
func (b *broker) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	for {
		state := b.conn.GetState()
		if state == connectivity.Ready || state == connectivity.Shutdown {
			return
		}
		b.conn.Connect()
		if !b.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

func (b *broker) close() { _ = b.conn.Close() }

// serverCredentials check that the broker's socket was made by root: nobody
// else may receive a task's environment and secrets.
type serverCredentials struct{ uid uint32 }

type serverInfo struct{ credentials.CommonAuthInfo }

// AuthType implements credentials.AuthInfo.
func (serverInfo) AuthType() string { return "unix-peercred" }

// ClientHandshake implements credentials.TransportCredentials.
func (c serverCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := checkServer(conn, c.uid); err != nil {
		return nil, nil, err
	}
	return conn, serverInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

// ServerHandshake implements credentials.TransportCredentials; a driver never serves.
func (serverCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for clients")
}

// Info implements credentials.TransportCredentials.
func (serverCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix-peercred"}
}

// Clone implements credentials.TransportCredentials.
func (c serverCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (serverCredentials) OverrideServerName(string) error { return nil }

// checkServer refuses a server that is not uid. For a socket that systemd
// activates the kernel reports PID 1, which listens.
func checkServer(conn net.Conn, uid uint32) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("cannot identify the server of a %T", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot identify the broker: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("cannot identify the broker: %w", err)
	}
	if credErr != nil {
		return fmt.Errorf("cannot identify the broker: %w", credErr)
	}
	if cred.Uid != uid {
		return fmt.Errorf("the broker's socket belongs to uid %d instead of %d; the driver does not trust it", cred.Uid, uid)
	}
	return nil
}

// away reports whether err says that the broker cannot answer now, in contrast
// to an answer that is no.
func away(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// startError words a failed StartUnit for the job's author, and tells Nomad
// whether trying again can help. It names the key of
// the task's config block that a refusal is about.
func startError(err error, c *drivers.TaskConfig, identity string) error {
	st := status.Convert(err)
	if away(err) || st.Code() == codes.ResourceExhausted {
		return structs.NewRecoverableError(fmt.Errorf("systemd-brokerd cannot start the task now: %s", st.Message()), true)
	}
	if d := denialOf(err); d != nil {
		text := denied(d)
		if d.GetSubject() == "identity" {
			return errors.New(text + identityHint(identity))
		}
		return errors.New(text + origin(text, c))
	}
	return fmt.Errorf("systemd-brokerd refuses the task: %s%s", st.Message(), origin(st.Message(), c))
}

// denialOf is the policy's refusal that err carries, nil if it is none.
func denialOf(err error) *brokerv1.Denial {
	for _, detail := range status.Convert(err).Details() {
		if d, ok := detail.(*brokerv1.Denial); ok {
			return d
		}
	}
	return nil
}

// denied words a refusal by policy for the job's author, who can hand the last of it
// to an operator. There is no pipe in it: "nomad alloc status" shows none.
func denied(d *brokerv1.Denial) string {
	id := "BROKER_REQUEST_ID=" + d.GetRequestId()
	return fmt.Sprintf("%s %q is refused by the policy of systemd-brokerd: %s (an operator of this node sees the decision with: journalctl -x %s; "+
		"and what each rule says with: systemd-brokerd policy explain <(journalctl -o json %s))", d.GetSubject(), d.GetValue(), d.GetReason(), id, id)
}
