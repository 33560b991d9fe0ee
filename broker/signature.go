// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/mounts"
)

// maxSignature is a few times what a signature with a chain of certificates takes.
const maxSignature = 16 << 10

// signatureAt reads the signature of an image's root hash, which must be root's alone to
// change: the kernel parses it. PID 1 starts nothing if neither the kernel nor systemd finds it to be by somebody whom
// the host trusts.
func signatureAt(path string) ([]byte, error) {
	const field = "rootfs.verity_signature"
	if path == "" {
		return nil, nil
	}
	var opened openMounts
	defer func() { opened.close() }()
	st, err := opened.open(field, path, mounts.Mount{Root: "/", Path: path[1:]})
	if err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, invalid(field, "%s is not a regular file", quote(path))
	case st.Uid != 0 || st.Mode&0o022 != 0:
		return nil, invalid(field, "others than root can write to %s", quote(path))
	}
	// The very file that was looked at; O_PATH descriptors cannot be read.
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", opened[0].FD))
	if err != nil {
		return nil, invalid(field, "%s cannot be read: %v", quote(path), err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	switch {
	case err != nil:
		return nil, invalid(field, "%s cannot be read: %v", quote(path), err)
	case len(text) == 0 || len(text) > maxSignature:
		return nil, invalid(field, "%s is no signature of 1 to %d bytes", quote(path), maxSignature)
	case text[0] != 0x30: // DER begins with a SEQUENCE, PEM with dashes
		return nil, invalid(field, "%s is not in DER; openssl smime -sign writes it with -outform der", quote(path))
	}
	return text, nil
}
