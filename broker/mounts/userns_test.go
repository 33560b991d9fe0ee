// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestANamespaceIsMadeAhead: there is one more as soon as one was used, its process runs
// nothing, and none is left at the end.
func TestANamespaceIsMadeAhead(t *testing.T) {
	s := namespaces{make(chan loan)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.keep(ctx) }()
	var used []int
	for range 2 {
		var l loan
		select {
		case l = <-s.ready:
		case <-done:
			t.Skip("this host gives no user namespaces")
		case <-time.After(10 * time.Second):
			t.Fatal("no namespace was made")
		}
		used = append(used, l.pid)
		proc := filepath.Join("/proc", strconv.Itoa(l.pid))
		if text, err := os.ReadFile(filepath.Join(proc, "status")); err != nil || !strings.Contains(string(text), "State:\tt (tracing stop)") {
			t.Errorf("the process of the namespace runs: %s, %v", text, err)
		}
		if err := l.show(mapping{uint32(os.Getuid()), uint32(os.Getgid()), User{uint32(os.Getuid()), uint32(os.Getgid())}}); os.Getuid() == 0 && err != nil {
			t.Error(err)
		}
		l.giveBack()
	}
	cancel()
	<-done
	for _, pid := range used {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
	if used[0] == used[1] {
		t.Error("a namespace was lent twice")
	}
}
