// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"time"

	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// Logging says where a task's output goes.
type Logging struct {
	Driver string `codec:"driver"`
	// RateLimitBurst lines in each RateLimitInterval go to the journal, which
	// drops the others and says so; 0 and empty leave the host's limit.
	RateLimitBurst    uint32 `codec:"rate_limit_burst"`
	RateLimitInterval string `codec:"rate_limit_interval"`
}

var loggingSpec = hclspec.NewBlock("logging", false, hclspec.NewObject(map[string]*hclspec.Spec{
	"driver":              hclspec.NewDefault(hclspec.NewAttr("driver", "string", false), hclspec.NewLiteral(`"nomad"`)),
	"rate_limit_burst":    hclspec.NewAttr("rate_limit_burst", "number", false),
	"rate_limit_interval": hclspec.NewAttr("rate_limit_interval", "string", false),
}))

var logDrivers = map[string]brokerv1.Logging_Driver{
	"":         brokerv1.Logging_DRIVER_FDS,
	"nomad":    brokerv1.Logging_DRIVER_FDS,
	"journald": brokerv1.Logging_DRIVER_JOURNAL,
	"none":     brokerv1.Logging_DRIVER_NONE,
}

func (l Logging) message() (*brokerv1.Logging, error) {
	driver, ok := logDrivers[l.Driver]
	if !ok {
		return nil, fmt.Errorf(`logging.driver: %q is not "nomad", "journald" or "none"`, l.Driver)
	}
	m := &brokerv1.Logging{Driver: driver}
	if l.RateLimitBurst == 0 && l.RateLimitInterval == "" {
		return m, nil
	}
	if driver != brokerv1.Logging_DRIVER_JOURNAL {
		return nil, fmt.Errorf(`logging.rate_limit_burst and rate_limit_interval limit what goes to the journal; set driver = "journald", or remove them`)
	}
	interval, err := time.ParseDuration(l.RateLimitInterval)
	if err != nil || interval <= 0 || l.RateLimitBurst == 0 {
		return nil, fmt.Errorf("logging: a limit of lines takes both, such as rate_limit_burst = 1000 and rate_limit_interval = \"30s\"; got %d and %q", l.RateLimitBurst, l.RateLimitInterval)
	}
	m.RateLimitBurst, m.RateLimitInterval = l.RateLimitBurst, durationpb.New(interval)
	return m, nil
}
