// SPDX-License-Identifier: MPL-2.0

// Command device is a device plugin of Nomad for the end-to-end tests: it offers
// /dev/e2e, to read.
package main

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/plugins"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/device"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

const node = "/dev/e2e"

func main() {
	plugins.Serve(func(hclog.Logger) any { return offer{} })
}

type offer struct{}

var _ device.DevicePlugin = offer{}

func (offer) PluginInfo() (*base.PluginInfoResponse, error) {
	return &base.PluginInfoResponse{Type: base.PluginTypeDevice, PluginApiVersions: []string{device.ApiVersion010}, PluginVersion: "1.0.0", Name: "e2e-device"}, nil
}

func (offer) ConfigSchema() (*hclspec.Spec, error) {
	return hclspec.NewObject(map[string]*hclspec.Spec{}), nil
}

func (offer) SetConfig(*base.Config) error { return nil }

// Fingerprint and Stats say once what there is: the agent takes a channel that is closed
// for a failure.
func (offer) Fingerprint(context.Context) (<-chan *device.FingerprintResponse, error) {
	said := make(chan *device.FingerprintResponse, 1)
	said <- device.NewFingerprint(&device.DeviceGroup{Vendor: "e2e", Type: "block", Name: "disk", Devices: []*device.Device{{ID: node, Healthy: true}}})
	return said, nil
}

func (offer) Stats(context.Context, time.Duration) (<-chan *device.StatsResponse, error) {
	return make(chan *device.StatsResponse), nil
}

func (offer) Reserve(ids []string) (*device.ContainerReservation, error) {
	r := &device.ContainerReservation{Envs: map[string]string{"E2E_DEVICE": node}}
	for _, id := range ids {
		r.Devices = append(r.Devices, &device.DeviceSpec{HostPath: id, TaskPath: id, CgroupPerms: "r"})
	}
	return r, nil
}
