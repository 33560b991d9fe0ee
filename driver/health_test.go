// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
)

// awaitHealth returns the first fingerprint with this health.
func awaitHealth(t *testing.T, d *Driver, want drivers.HealthState) *drivers.Fingerprint {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ch, err := d.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return awaitFingerprint(t, ch, want)
}

func awaitFingerprint(t *testing.T, ch <-chan *drivers.Fingerprint, want drivers.HealthState) *drivers.Fingerprint {
	t.Helper()
	var last *drivers.Fingerprint
	for f := range ch {
		if last = f; f.Health == want {
			return f
		}
	}
	t.Fatalf("the driver never became %s; the last fingerprint is %+v", want, last)
	return nil
}

func TestFingerprintFollowsTheBroker(t *testing.T) {
	b := newFakeBroker(t)
	d := newDriver(t, b.config())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ch, err := d.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f := awaitFingerprint(t, ch, drivers.HealthStateUndetected)
	if !strings.Contains(f.HealthDescription, "does not exist: install systemd-brokerd") {
		t.Errorf("the description is %q", f.HealthDescription)
	}
	b.start()
	f = awaitFingerprint(t, ch, drivers.HealthStateHealthy)
	for key, want := range map[string]string{
		healthyAttribute: "true", "driver.systemd.broker.version": "1.2.3", "driver.systemd.systemd.version": "252",
		"driver.systemd.feature.logging-fds": "true", "driver.systemd.version": Version, "driver.systemd.client": "nomad",
	} {
		if a := f.Attributes[key]; a == nil || a.GoString() != want {
			t.Errorf("attribute %s is %v, want %s", key, a, want)
		}
	}
	b.stop()
	f = awaitFingerprint(t, ch, drivers.HealthStateUnhealthy)
	if !strings.Contains(f.HealthDescription, "does not answer") || f.Attributes[healthyAttribute] != unset {
		t.Errorf("the fingerprint is %+v", f)
	}
	b.start()
	awaitFingerprint(t, ch, drivers.HealthStateHealthy)
}

func TestBrokerThatIsNotWellMakesTheDriverUnhealthy(t *testing.T) {
	b := newFakeBroker(t)
	b.unhealthy = "PID 1 does not answer"
	b.start()
	f := awaitHealth(t, newDriver(t, b.config()), drivers.HealthStateUnhealthy)
	if f.HealthDescription != b.unhealthy || f.Attributes[healthyAttribute] != unset {
		t.Errorf("the fingerprint is %+v", f)
	}
}

// TestServerThatIsNotRootIsNotTrusted guards the task's environment: whoever
// can put a socket in the broker's place must not get it.
func TestServerThatIsNotRootIsNotTrusted(t *testing.T) {
	b := newFakeBroker(t)
	b.start()
	d := newDriver(t, b.config())
	d.serverUID = uint32(os.Getuid()) + 1
	f := awaitHealth(t, d, drivers.HealthStateUnhealthy)
	if !strings.Contains(f.HealthDescription, "does not trust it") {
		t.Errorf("the description is %q", f.HealthDescription)
	}
	if _, _, err := d.StartTask(newTaskConfig(t, TaskConfig{Command: "/usr/bin/true"})); err == nil || b.count("StartUnit") != 0 {
		t.Errorf("a task was sent to a server that is not trusted: %v", err)
	}
}

func TestSetConfig(t *testing.T) {
	tests := []struct {
		name string
		in   map[string]any
		want Config
		err  string
	}{
		{"nothing", nil, Config{defaultBrokerSocket, defaultFDSocket, defaultOrphans, defaultIdentity}, ""},
		{"both", map[string]any{"broker_socket": "/a", "fd_socket": "/b"}, Config{"/a", "/b", defaultOrphans, defaultIdentity}, ""},
		{"with a scheme", map[string]any{"broker_socket": "unix:///a"}, Config{"/a", defaultFDSocket, defaultOrphans, defaultIdentity}, ""},
		{"another identity", map[string]any{"identity": "default"}, Config{defaultBrokerSocket, defaultFDSocket, defaultOrphans, "default"}, ""},
		{"relative", map[string]any{"broker_socket": "a"}, Config{}, `broker_socket: "a" is not an absolute path`},
		{"another type", map[string]any{"broker_socket": map[string]any{"a": 1}}, Config{}, "cannot read the plugin's configuration"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := New(t.Context(), testLogger(t))
			var c base.Config
			if tt.in != nil {
				if err := base.MsgPackEncode(&c.PluginConfig, tt.in); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 { // as Nomad does
				err := d.SetConfig(&c)
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want %q", err, tt.err)
				}
			}
			if tt.err == "" && d.config != tt.want {
				t.Errorf("got %+v, want %+v", d.config, tt.want)
			}
		})
	}
}

// TestFingerprintEndsWithItsContext guards against a goroutine per call.
func TestFingerprintEndsWithItsContext(t *testing.T) {
	b := newFakeBroker(t)
	b.start()
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := newDriver(t, b.config()).Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	cancel()
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-time.After(patience):
			t.Fatal("the channel stays open")
		}
	}
}

// TestBrokerThatIsWellAgain: on the same connection, as after a PID 1 that was slow to
// answer while packages were installed.
func TestBrokerThatIsWellAgain(t *testing.T) {
	b := newFakeBroker(t)
	b.unhealthy = "PID 1 does not answer"
	b.start()
	d := newDriver(t, b.config())
	awaitHealth(t, d, drivers.HealthStateUnhealthy)
	b.change(func() { b.unhealthy = "" })
	awaitHealth(t, d, drivers.HealthStateHealthy)
	if n := b.count("WatchUnits"); n != 1 {
		t.Errorf("there were %d streams", n)
	}
}
