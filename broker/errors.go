// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

var (
	// errNotFound answers for every unit that is not the caller's, whether it
	// exists or not.
	errNotFound = errors.New("no such unit; it was removed, or was never started by this client")
	// errOtherContent: an id names one start, for ever.
	errOtherContent = errors.New("a unit with this id exists and was started with other content; use a new id for each start")
	// errNotRunning: there is nothing left to run beside.
	errNotRunning = errors.New("the unit does not run any more")
	// errLeft: an id is free again when PID 1 has nothing of its start.
	errLeft = errors.New("what an earlier start with this id left is being removed; try again")
	// errStopping: the broker is on its way down.
	errStopping = errors.New("the broker is stopping; try again")
)

// quotaError is a limit that the client has reached.
type quotaError struct{ text string }

// Error implements error.
func (e *quotaError) Error() string { return e.text }

// unavailableError is what may pass by itself.
type unavailableError struct{ error }

// statusOf is the one map from the broker's errors to gRPC codes. Whatever is
// not named here is Internal, and a failure all the same.
func statusOf(err error, requestID string) error {
	var (
		denial  *policy.Denial
		inv     *invalidError
		quota   *quotaError
		refused *startError
		other   *systemd.MismatchError
		passing *unavailableError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &denial):
		return deniedStatus(denial, requestID)
	case errors.As(err, &inv):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.As(err, &quota), errors.Is(err, errKept):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.As(err, &refused), errors.As(err, &other):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, errNoPeer):
		return status.Error(codes.Unauthenticated, err.Error())
	case errors.Is(err, errNotFound), errors.Is(err, systemd.ErrNotFound):
		return status.Error(codes.NotFound, errNotFound.Error())
	case errors.Is(err, errNotRunning):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, errOtherContent):
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.As(err, &passing), errors.Is(err, errStopping), errors.Is(err, errLeft), errors.Is(err, errUnrecorded), errors.Is(err, errTooMany),
		errors.Is(err, systemd.ErrNotStarted),
		errors.Is(err, systemd.ErrNotConnected), errors.Is(err, systemd.ErrOutcomeUnknown), errors.Is(err, systemd.ErrClosed):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return status.Error(codes.Unavailable, err.Error()+"; the broker and PID 1 need room in /run: see df /run")
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

func deniedStatus(d *policy.Denial, requestID string) error {
	st := status.New(codes.PermissionDenied, d.Error())
	detailed, err := st.WithDetails(denialMessage(d, requestID))
	if err != nil {
		return st.Err()
	}
	return detailed.Err()
}

func denialMessage(d *policy.Denial, requestID string) *brokerv1.Denial {
	return &brokerv1.Denial{Subject: d.Subject, Value: d.Value, Reason: d.Reason, RequestId: requestID}
}
