// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/lib/cpustats"
	"github.com/hashicorp/nomad/drivers/shared/eventer"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"nomad-systemd-driver/cgroup"
)

// Driver implements Nomad's drivers.DriverPlugin.
type Driver struct {
	*eventer.Eventer
	ctx context.Context
	log hclog.Logger

	// serverUID is whom the broker's sockets must belong to; tests change it.
	serverUID uint32
	// cgroups is where control groups are read; tests change it.
	cgroups cgroup.Root
	sampler *sampler

	mu      sync.Mutex
	config  Config
	compute cpustats.Compute // zero where Nomad does not tell
	broker  *broker          // nil until it is first needed
	tasks   map[string]*task
	claims  claims
	// collecting is set while something looks for orphans, suspect when there
	// may be more of them since it looked last.
	collecting, suspect bool
}

var _ drivers.DriverPlugin = (*Driver)(nil)

// New makes the driver. It does nothing until Nomad asks for something: Nomad
// starts the plugin several times over before it uses it.
func New(ctx context.Context, log hclog.Logger) *Driver {
	log = log.Named(Name)
	return &Driver{
		Eventer: eventer.NewEventer(ctx, log),
		ctx:     ctx,
		log:     log,
		cgroups: cgroup.Default,
		sampler: newSampler(ctx),
		config:  Config{BrokerSocket: defaultBrokerSocket, FDSocket: defaultFDSocket, Orphans: defaultOrphans, Identity: defaultIdentity},
		tasks:   make(map[string]*task),
		claims:  newClaims(),
	}
}

// PluginInfo implements base.BasePlugin.
func (*Driver) PluginInfo() (*base.PluginInfoResponse, error) { return pluginInfo, nil }

// ConfigSchema implements base.BasePlugin.
func (*Driver) ConfigSchema() (*hclspec.Spec, error) { return configSpec, nil }

// TaskConfigSchema implements drivers.DriverPlugin.
func (*Driver) TaskConfigSchema() (*hclspec.Spec, error) { return taskConfigSpec, nil }

// Capabilities implements drivers.DriverPlugin.
func (*Driver) Capabilities() (*drivers.Capabilities, error) { return capabilities, nil }

// SetConfig implements base.BasePlugin. It only stores: Nomad calls it in
// plugin processes that it ends at once, too.
func (d *Driver) SetConfig(c *base.Config) error {
	var config Config
	if len(c.PluginConfig) != 0 {
		if err := base.MsgPackDecode(c.PluginConfig, &config); err != nil {
			return fmt.Errorf("cannot read the plugin's configuration: %w", err)
		}
	}
	if config.BrokerSocket == "" {
		config.BrokerSocket = defaultBrokerSocket
	}
	if config.FDSocket == "" {
		config.FDSocket = defaultFDSocket
	}
	if config.Identity == "" {
		config.Identity = defaultIdentity
	}
	config.BrokerSocket = strings.TrimPrefix(config.BrokerSocket, "unix://")
	if err := config.Orphans.parse(); err != nil {
		return err
	}
	for key, path := range map[string]string{"broker_socket": config.BrokerSocket, "fd_socket": config.FDSocket} {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("plugin config %s: %q is not an absolute path", key, path)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config, d.compute = config, c.AgentConfig.Compute()
	return nil
}

var errShutdown = errors.New("the driver is shutting down")

// connection is the connection to the broker, made when it is first needed.
func (d *Driver) connection() (*broker, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broker != nil {
		return d.broker, nil
	}
	if d.ctx.Err() != nil {
		return nil, errShutdown
	}
	b, err := newBroker(d.config, d.serverUID)
	if err != nil {
		return nil, err
	}
	d.broker = b
	go d.watch(b)
	context.AfterFunc(d.ctx, b.close)
	return b, nil
}
