// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServerOfAnotherUserIsNotTrusted: whoever served on the broker's path would get
// the environment and the secrets of tasks.
func TestServerOfAnotherUserIsNotTrusted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	me := uint32(os.Getuid())
	if err := checkServer(conn, me); err != nil {
		t.Errorf("a server of uid %d: %v", me, err)
	}
	if err := checkServer(conn, me+1); err == nil || !strings.Contains(err.Error(), "the driver does not trust it") {
		t.Errorf("a server of another uid: %v", err)
	}
	credentials := serverCredentials{me + 1}
	if _, _, err := credentials.ClientHandshake(t.Context(), "", conn); err == nil {
		t.Error("the handshake with a server of another uid succeeds")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := checkServer(a, me); err == nil {
		t.Error("a pipe has a server")
	}
}
