// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// byPodman runs the program in a container, with the host's network and processes: a
// unit of the broker has neither namespace unless its task asks for it, and a program
// that is the first of a namespace would not end at SIGTERM.
type byPodman struct{}

// newPodman is nil where the machine has no podman: packages beside this program are
// installed.
func newPodman() (peer, error) {
	_, missing := exec.LookPath("podman")
	if _, err := os.Stat("packages"); missing != nil && err != nil {
		return nil, nil
	}
	if missing != nil {
		if _, err := command("sh", "-c", "dpkg --install packages/*.deb"); err != nil {
			return nil, err
		}
	}
	return byPodman{}, makeImages()
}

func (byPodman) prepare(context.Context) (func() (running, error), error) {
	return func() (running, error) {
		id, err := command("podman", "run", "--detach", "--network=host", "--pid=host", "--rootfs", images+"/tree", sleep, "3600")
		return container(id), err
	}, nil
}

// container is one by its id.
type container string

func (c container) pid() (int, error) {
	text, err := command("podman", "inspect", "--format={{.State.Pid}}", string(c))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

func (c container) exited() func() error {
	return func() error {
		_, err := command("podman", "wait", "--interval=50ms", string(c))
		return err
	}
}

func (c container) stop() error {
	_, err := command("podman", "stop", string(c))
	return err
}

func (c container) remove() error {
	_, err := command("podman", "rm", "--force", string(c))
	return err
}

// podman measures what comes with a container beside its own program.
func (b *bench) podman() error {
	p, err := newPodman()
	if err != nil {
		return err
	}
	if p == nil {
		b.note("no podman here")
		return nil
	}
	version, err := command("podman", "--version")
	if err != nil {
		return err
	}
	b.row("machine", "podman", strings.TrimPrefix(version, "podman version "), "0", "0", "")
	start, err := p.prepare(b.ctx)
	if err != nil {
		return err
	}
	before := called("conmon")
	r, err := start()
	if err != nil {
		return err
	}
	var memory float64
	after := called("conmon")
	for _, pid := range after {
		memory += own(pid)
	}
	b.add("podman processes", "conmon", "", 1, float64(len(after)-len(before)), "")
	b.add("podman own memory", "conmon", "", 1, memory/float64(max(1, len(after))), "KiB")
	return r.remove()
}
