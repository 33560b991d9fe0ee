// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// conn is one client.
type conn struct {
	sock   *net.UnixConn
	fds    []int // received with the message being read
	serial uint32

	// Guarded by the server's mutex.
	ready bool     // signals may be sent
	rules []string // match rules, on a bus
}

// Read collects the descriptors that come with the bytes.
func (c *conn) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*32))
	n, oobn, _, _, err := c.sock.ReadMsgUnix(p, oob)
	if err != nil {
		return n, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return n, err
	}
	for _, m := range messages {
		if m.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return n, err
		}
		c.fds = append(c.fds, fds...)
	}
	return n, nil
}

// authenticate is the server's side of EXTERNAL.
func (c *conn) authenticate() error {
	zero := make([]byte, 1)
	if _, err := io.ReadFull(c.sock, zero); err != nil || zero[0] != 0 {
		return errors.New("no NUL byte first")
	}
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		answer := "ERROR"
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "AUTH":
			answer = c.judge(rest)
		case "NEGOTIATE_UNIX_FD":
			answer = "AGREE_UNIX_FD"
		case "BEGIN":
			return nil
		}
		if _, err := io.WriteString(c.sock, answer+"\r\n"); err != nil {
			return err
		}
	}
}

// judge accepts the uid the kernel tells, and no other.
func (c *conn) judge(mechanism string) string {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return "REJECTED"
	}
	var peer *unix.Ucred
	if ctl := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctl != nil || err != nil {
		return "REJECTED"
	}
	uid := hex.EncodeToString([]byte(strconv.FormatUint(uint64(peer.Uid), 10)))
	if mechanism != "EXTERNAL "+uid {
		return "REJECTED EXTERNAL"
	}
	return "OK 0123456789abcdef0123456789abcdef"
}

func (c *conn) readLine() (string, error) {
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c.sock, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[0])
	}
}

// read reads one message; its descriptors are in c.fds.
func (c *conn) read() (*dbus.Message, error) {
	c.fds = nil
	head := make([]byte, 16)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	if head[0] != 'l' {
		return nil, fmt.Errorf("byte order %q", head[0])
	}
	body, fields := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
	rest := make([]byte, (fields+7)/8*8+body)
	if _, err := io.ReadFull(c, rest); err != nil {
		return nil, err
	}
	return dbus.DecodeMessageWithFDs(bytes.NewReader(append(head, rest...)), c.fds)
}

// write sends one message. The server's mutex keeps messages whole and in
// order.
func (c *conn) write(m *dbus.Message) error {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var buf bytes.Buffer
	if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
		return err
	}
	c.serial++
	binary.LittleEndian.PutUint32(buf.Bytes()[8:], c.serial)
	_, err := c.sock.Write(buf.Bytes())
	return err
}
