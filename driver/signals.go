// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// maxSignal is SIGRTMAX of Linux (signal(7)).
const maxSignal = 64

var signalTargets = map[string]brokerv1.SignalUnitRequest_Target{
	"":     brokerv1.SignalUnitRequest_TARGET_MAIN,
	"main": brokerv1.SignalUnitRequest_TARGET_MAIN,
	"all":  brokerv1.SignalUnitRequest_TARGET_ALL,
}

func signalTarget(name string) (brokerv1.SignalUnitRequest_Target, error) {
	target, ok := signalTargets[name]
	if !ok {
		return 0, fmt.Errorf(`signal_target: %q is not "main" or "all"`, name)
	}
	return target, nil
}

// signalNumber reads a signal as people write it: SIGUSR1, usr1 or 10. An empty
// name is SIGTERM, what systemd sends by default.
func signalNumber(name string) (uint32, error) {
	if name == "" {
		return uint32(unix.SIGTERM), nil
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		if n < 1 || n > maxSignal {
			return 0, fmt.Errorf("signal %q is not between 1 and %d", name, maxSignal)
		}
		return uint32(n), nil
	}
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if n := unix.SignalNum(full); n != 0 {
		return uint32(n), nil //nolint:gosec // a signal number
	}
	return 0, fmt.Errorf("signal %q is unknown; name it as in signal(7), such as SIGHUP, or by its number", name)
}
