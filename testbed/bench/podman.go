// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os/exec"
	"time"
)

// podman measures the start of the same program in a container, if the machine has
// podman: from the command to the container's program being executed.
func (b *bench) podman() error {
	if _, err := exec.LookPath("podman"); err != nil {
		b.note("no podman here")
		return nil
	}
	for round := range b.rounds + 1 {
		from := time.Now()
		id, err := command("podman", "run", "--detach", "--network=host", "--rootfs", images+"/tree", sleep, "3600")
		if err != nil {
			return err
		}
		if round > 0 {
			b.seconds("start", "podman run", "1", round, time.Since(from))
		}
		if _, err := command("podman", "rm", "--force", "--time=0", id); err != nil {
			return err
		}
	}
	return nil
}
