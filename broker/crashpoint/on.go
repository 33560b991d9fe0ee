// SPDX-License-Identifier: MPL-2.0

//go:build crashpoint

// Package crashpoint kills this process, or has it wait, at the step that a file of
// root's names.
package crashpoint

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// armed holds the name of one step. It is removed before the end, which comes once.
const armed = "/run/systemd-brokerd/crashpoint"

// Here kills the process if the step is the armed one. If " waits" follows its name,
// it waits instead until the writer of the FIFO beside that file is done.
func Here(step string) {
	text, err := os.ReadFile(armed)
	name, waits := strings.CutSuffix(string(text), " waits")
	if err != nil || name != step || os.Remove(armed) != nil {
		return
	}
	if waits {
		_, _ = os.ReadFile(armed + ".fifo")
		return
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // nothing more is done while the signal is on its way
}
