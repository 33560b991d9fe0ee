// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Info implements brokerv1.BrokerServiceServer.
func (s *Server) Info(ctx context.Context, req *brokerv1.InfoRequest) (*brokerv1.InfoResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	client, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	info := &brokerv1.InfoResponse{
		Version:        s.config.Version,
		SystemdVersion: s.systemd.Version(),
		KernelVersion:  s.kernel,
		Client:         client.Name,
		PolicySha256:   s.policy.Load().SHA256(),
		Features:       []string{"logging-fds", "logging-journal", "logging-none", "sessions"},
	}
	if _, ok := s.policy.Load().Client(client.UID); !ok {
		info.UnhealthyReason = "no policy that knows this client is in force; see systemctl status systemd-brokerd and run systemd-brokerd policy check"
	}
	if err := s.systemd.Health(); err != nil {
		info.UnhealthyReason = "the broker cannot reach systemd: " + err.Error()
	}
	return info, nil
}

// GetUnit implements brokerv1.BrokerServiceServer.
func (s *Server) GetUnit(ctx context.Context, req *brokerv1.GetUnitRequest) (*brokerv1.GetUnitResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	r, err := s.own(ctx, req.GetHandle())
	if err != nil {
		return nil, err
	}
	return &brokerv1.GetUnitResponse{Unit: s.units.snapshot(r)}, nil
}

// ListUnits implements brokerv1.BrokerServiceServer.
func (s *Server) ListUnits(ctx context.Context, req *brokerv1.ListUnitsRequest) (*brokerv1.ListUnitsResponse, error) {
	if err := known(req); err != nil {
		return nil, err
	}
	client, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	w := s.units.watch(client.Name)
	defer s.units.unwatch(w)
	return &brokerv1.ListUnitsResponse{Units: s.units.due(w)}, nil
}

// own is the calling client's unit that h names.
func (s *Server) own(ctx context.Context, h *brokerv1.Handle) (*record, error) {
	client, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.units.find(client.Name, h)
}
