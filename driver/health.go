// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/structs"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// healthyAttribute is there while the driver is healthy. Nomad holds a job back
// that no node can take, and looks at it again when the attributes of a node
// change: a change of health alone wakes nothing (blocked_evals.go and
// structs/node_class.go in Nomad's source).
const healthyAttribute = "driver.systemd.healthy"

// unset removes an attribute from the node.
var unset = structs.NewStringAttribute("")

// health is the latest news of the broker, for any number of listeners.
type health struct {
	mu      sync.Mutex
	info    *brokerv1.InfoResponse // nil while the broker is away
	err     error                  // why
	known   bool
	changed chan struct{} // closed and replaced at each change
}

func newHealth() *health { return &health{changed: make(chan struct{})} }

func (h *health) set(info *brokerv1.InfoResponse, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if info != nil && proto.Equal(info, h.info) {
		return // no news
	}
	h.info, h.err, h.known = info, err, true
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *health) get() (info *brokerv1.InfoResponse, err error, known bool, changed <-chan struct{}) { //nolint:revive,staticcheck // the error is a value here
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.info, h.err, h.known, h.changed
}

// Fingerprint implements drivers.DriverPlugin. It tells Nomad at once what is
// known of the broker and then whenever that changes.
func (d *Driver) Fingerprint(ctx context.Context) (<-chan *drivers.Fingerprint, error) {
	b, err := d.connection()
	if err != nil {
		return nil, err
	}
	ch := make(chan *drivers.Fingerprint)
	go func() {
		defer close(ch)
		for {
			info, err, known, changed := b.health.get()
			if known {
				select {
				case ch <- d.fingerprint(info, err):
				case <-ctx.Done():
					return
				case <-d.ctx.Done():
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-d.ctx.Done():
				return
			}
		}
	}()
	return ch, nil
}

func (d *Driver) fingerprint(info *brokerv1.InfoResponse, err error) *drivers.Fingerprint {
	if info == nil {
		return d.absent(err)
	}
	f := &drivers.Fingerprint{
		Health:            drivers.HealthStateHealthy,
		HealthDescription: drivers.DriverHealthy,
		Attributes: map[string]*structs.Attribute{
			healthyAttribute:                 structs.NewBoolAttribute(true),
			"driver.systemd.version":         structs.NewStringAttribute(Version),
			"driver.systemd.broker.version":  structs.NewStringAttribute(info.GetVersion()),
			"driver.systemd.systemd.version": structs.NewStringAttribute(info.GetSystemdVersion()),
			"driver.systemd.client":          structs.NewStringAttribute(info.GetClient()),
		},
	}
	for _, feature := range info.GetFeatures() {
		f.Attributes["driver.systemd.feature."+feature] = structs.NewBoolAttribute(true)
	}
	if reason := info.GetUnhealthyReason(); reason != "" {
		f.Health, f.HealthDescription = drivers.HealthStateUnhealthy, reason
		f.Attributes[healthyAttribute] = unset
	}
	return f
}

func (d *Driver) absent(err error) *drivers.Fingerprint {
	d.mu.Lock()
	socket := d.config.BrokerSocket
	d.mu.Unlock()
	if _, serr := os.Stat(socket); errors.Is(serr, fs.ErrNotExist) {
		return &drivers.Fingerprint{
			Health:            drivers.HealthStateUndetected,
			Attributes:        map[string]*structs.Attribute{healthyAttribute: unset},
			HealthDescription: fmt.Sprintf("%s does not exist: install systemd-brokerd and start systemd-brokerd.socket", socket),
		}
	}
	return &drivers.Fingerprint{
		Health:            drivers.HealthStateUnhealthy,
		Attributes:        map[string]*structs.Attribute{healthyAttribute: unset},
		HealthDescription: fmt.Sprintf("systemd-brokerd does not answer at %s: %s; see systemctl status systemd-brokerd", socket, status.Convert(err).Message()),
	}
}
