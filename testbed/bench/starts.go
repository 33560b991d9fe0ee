// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// sizes are how many units are started at each concurrency in one round.
var sizes = []struct{ concurrency, units int }{{1, 4}, {8, 16}, {64, 64}}

// starts measures start latency and starts per second: in each round all peers, one
// after the other, the order turned by one from round to round.
func (b *bench) starts() error {
	peers, _, err := dialPeers(b.ctx)
	if err != nil {
		return err
	}
	podman, err := newPodman()
	if err != nil {
		return err
	}
	peers[ofPodman] = podman
	for _, size := range sizes {
		deadline := time.Now().Add(b.budget)
		if size.concurrency > b.concurrency {
			break
		}
		order := []string{ofBare, ofSame, ofBroker}
		if size.concurrency == 1 {
			order = append(order, ofRun)
			if podman != nil {
				order = append(order, ofPodman)
			}
		}
		for round := range b.rounds + 1 { // round 0 warms up
			if time.Now().After(deadline) {
				b.note("starts at concurrency %d: no time for more than %d rounds", size.concurrency, round-1)
				break
			}
			for i := range order {
				name := order[(i+round)%len(order)]
				before := consumption()
				latency, took, err := b.batch(peers[name], size.concurrency, size.units)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if round == 0 {
					continue
				}
				c := strconv.Itoa(size.concurrency)
				b.seconds("start", name, c, round, median(latency))
				b.add("rate", name, c, round, float64(size.units)/took.Seconds(), "1/s")
				for what, seconds := range consumption() {
					b.add("cpu per life", name, c+" "+what, round, (seconds-before[what])/float64(size.units), "s")
				}
			}
		}
	}
	return nil
}

// batch starts units, so many at a time, then removes them.
func (b *bench) batch(p peer, concurrency, units int) (latency []time.Duration, took time.Duration, err error) {
	starts := make(chan func() (running, error), units)
	for range units {
		start, err := p.prepare(b.ctx)
		if err != nil {
			return nil, 0, err
		}
		starts <- start
	}
	close(starts)
	var mu sync.Mutex
	var all []running
	var failed []error
	var wg sync.WaitGroup
	from := time.Now()
	for range concurrency {
		wg.Go(func() {
			for start := range starts {
				from := time.Now()
				r, err := start()
				took := time.Since(from)
				mu.Lock()
				if err != nil {
					failed = append(failed, err)
				} else {
					all, latency = append(all, r), append(latency, took)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took = time.Since(from)
	parallel(all, 8, func(r running) {
		if err := r.remove(); err != nil {
			mu.Lock()
			failed = append(failed, err)
			mu.Unlock()
		}
	})
	return latency, took, errors.Join(failed...)
}

func parallel[T any](all []T, n int, do func(T)) {
	var wg sync.WaitGroup
	c := make(chan T)
	for range n {
		wg.Go(func() {
			for v := range c {
				do(v)
			}
		})
	}
	for _, v := range all {
		c <- v
	}
	close(c)
	wg.Wait()
}

// lives measures how late the end of a program is noticed, and how long a stop takes
// of a program that ends at once.
func (b *bench) lives() error {
	peers, _, err := dialPeers(b.ctx)
	if err != nil {
		return err
	}
	order := []string{ofBare, ofSame, ofBroker, ofRun}
	for round := range b.rounds + 1 {
		for i := range order {
			name := order[(i+round)%len(order)]
			exit, stop, err := b.life(peers[name])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if round > 0 {
				b.seconds("exit", name, "", round, exit)
				b.seconds("stop", name, "", round, stop)
			}
		}
	}
	return nil
}

func (b *bench) life(p peer) (exit, stop time.Duration, err error) {
	var rs [2]running
	for i := range rs {
		start, err := p.prepare(b.ctx)
		if err != nil {
			return 0, 0, err
		}
		if rs[i], err = start(); err != nil {
			return 0, 0, err
		}
	}
	pid, err := rs[0].pid()
	if err != nil || pid <= 1 {
		return 0, 0, fmt.Errorf("no main process (%d): %w", pid, err)
	}
	exited := rs[0].exited()
	from := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, 0, err
	}
	if err := exited(); err != nil {
		return 0, 0, err
	}
	exit = time.Since(from)
	from = time.Now()
	if err := rs[1].stop(); err != nil {
		return 0, 0, err
	}
	stop = time.Since(from)
	return exit, stop, errors.Join(rs[0].remove(), rs[1].remove())
}

// makeImages makes a root file system with the program in it, as a tree and as a disk.
func makeImages() error {
	_, err := command("sh", "-ec", strings.ReplaceAll(`mkdir -p IMAGES/tree && cd IMAGES
		(cd tree && mkdir -p alloc local secrets proc sys dev run tmp var/tmp usr/bin etc root && cp /usr/bin/busybox usr/bin/sleep)
		chmod 755 tree && truncate -s 16M disk && mke2fs -q -F -t ext4 -d tree disk`, "IMAGES", images))
	return err
}

// views measures what each kind of root file system adds to a start.
func (b *bench) views() error {
	if err := makeImages(); err != nil {
		return err
	}
	c, err := dialBroker(b.ctx)
	if err != nil {
		return err
	}
	kinds := []struct {
		name   string
		rootfs *brokerv1.Rootfs
	}{
		{"minimal", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_MINIMAL}},
		{"host", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_HOST}},
		{"image, a directory", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: images + "/tree"}},
		{"image, a disk", &brokerv1.Rootfs{Kind: brokerv1.Rootfs_KIND_IMAGE, Image: images + "/disk"}},
	}
	for round := range b.rounds + 1 {
		for i := range kinds {
			kind := kinds[(i+round)%len(kinds)]
			var took []time.Duration
			for range 3 {
				d, err := c.user.directories()
				if err != nil {
					return err
				}
				s := spec(newID(), d, sleep, "3600")
				s.Rootfs = kind.rootfs
				from := time.Now()
				r, err := c.start(b.ctx, s)
				if err != nil {
					return fmt.Errorf("%s: %w", kind.name, err)
				}
				took = append(took, time.Since(from))
				if err := r.remove(); err != nil {
					return err
				}
			}
			if round > 0 {
				b.seconds("rootfs", ofBroker, kind.name, round, median(took))
			}
		}
	}
	return nil
}
