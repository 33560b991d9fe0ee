// SPDX-License-Identifier: MPL-2.0

package wire

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// maxAuthLine bounds one line of the peer's side of the authentication.
const maxAuthLine = 512

// authenticate runs the client side of the SASL exchange of the D-Bus
// specification: EXTERNAL, then the passing of file descriptors. The kernel
// tells the peer who we are; the uid we send only has to agree.
func authenticate(sock *net.UnixConn) error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	steps := []struct{ send, expect string }{
		{"\x00AUTH EXTERNAL " + uid, "OK"},
		{"NEGOTIATE_UNIX_FD", "AGREE_UNIX_FD"},
	}
	for _, step := range steps {
		if _, err := sock.Write([]byte(step.send + "\r\n")); err != nil {
			return fmt.Errorf("cannot authenticate: %w", err)
		}
		line, err := readAuthLine(sock)
		if err != nil {
			return fmt.Errorf("cannot authenticate: %w", err)
		}
		if word, _, _ := strings.Cut(line, " "); word != step.expect {
			return fmt.Errorf("cannot authenticate as uid %d: peer answered %q, expected %s", os.Geteuid(), line, step.expect)
		}
	}
	if _, err := sock.Write([]byte("BEGIN\r\n")); err != nil {
		return fmt.Errorf("cannot authenticate: %w", err)
	}
	return nil
}

// readAuthLine reads byte by byte: what follows the line belongs to the reader
// of messages.
func readAuthLine(sock *net.UnixConn) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxAuthLine {
		if _, err := sock.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[0])
	}
	return "", fmt.Errorf("peer sent a line of more than %d bytes", maxAuthLine)
}
