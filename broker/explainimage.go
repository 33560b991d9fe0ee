// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nomad-systemd-driver/broker/policy"
)

// explainImage says what is wrong with the image of a root that PID 1 could not show,
// as far as it can be told from outside: PID 1 gives one exit status for all of it. It
// is asked after the failure, and words it; nothing is decided by it.
func explainImage(r policy.Rootfs) string {
	image := quote(r.Image)
	if info, err := os.Lstat(r.Image); err == nil && info.IsDir() {
		return fmt.Sprintf("the directory tree %s lacks one of %s", image, placesOfImage)
	}
	if r.RootHash != "" {
		if problem := explainVerity(r); problem != "" {
			return problem
		}
	}
	kind := kindOfImage(r.Image)
	if kind == "" {
		return fmt.Sprintf("the image %s is corrupt or of a kind that this host does not know: it begins like no ext4, squashfs, erofs, xfs or btrfs, nor with a partition table", image)
	}
	return fmt.Sprintf("the image %s, %s, is corrupt, or the host's kernel has no such file system, or it lacks one of %s", image, kind, placesOfImage)
}

const placesOfImage = "/alloc, /local, /secrets, /proc, /sys, /dev, /run, /tmp, /var/tmp"

// kindOfImage is what a disk image begins like; empty if it is nothing known.
func kindOfImage(path string) string {
	head := headOf(path, 0, 65536+128)
	for _, m := range []struct {
		at    int
		magic string
		kind  string
	}{
		{0, "hsqs", "a squashfs"},
		{1024, "\xe2\xe1\xf5\xe0", "an erofs"},
		{1080, "\x53\xef", "an ext4"},
		{0, "XFSB", "an xfs"},
		{65600, "_BHRfS_M", "a btrfs"},
		{512, "EFI PART", "a disk with a partition table"},
	} {
		if len(head) >= m.at+len(m.magic) && string(head[m.at:m.at+len(m.magic)]) == m.magic {
			return m.kind
		}
	}
	return ""
}

// verityHead is the superblock of dm-verity, as veritysetup(8) writes it.
type verityHead struct {
	Signature     [8]byte
	Version, Type uint32
	UUID          [16]byte
	Algorithm     [32]byte
	DataBlock     uint32
	HashBlock     uint32
	DataBlocks    uint64
	SaltSize      uint16
	_             [6]byte
	Salt          [256]byte
}

// maxHashBlock bounds what is read for one.
const maxHashBlock = 64 << 10

// explainVerity compares the root hash that was asked for with that of the verity data
// beside the image. If there are none they may be in a partition, where only PID 1 looks.
func explainVerity(r policy.Rootfs) string {
	path := r.Image + veritySuffix
	if _, err := os.Lstat(path); err != nil {
		if kindOfImage(r.Image) != "a disk with a partition table" {
			return fmt.Sprintf("the image %s has no verity data: there is no file %s, and no partition table", quote(r.Image), path)
		}
		return fmt.Sprintf("the image %s does not match its root hash %s, or is corrupt, or lacks one of %s", quote(r.Image), r.RootHash, placesOfImage)
	}
	hash := rootHashIn(path)
	signed := ""
	if r.Signature != "" {
		signed = fmt.Sprintf("; or the signature %s is of another hash, or by nobody whom this host trusts "+
			"(certificates in /etc/verity.d, or the kernel's keyring)", quote(r.Signature))
	}
	switch {
	case hash == "":
		return fmt.Sprintf("%s holds no verity data that this broker can read; veritysetup format makes them", path)
	case !strings.EqualFold(hash, r.RootHash):
		return fmt.Sprintf("the image %s does not match its root hash: that of %s is %s, the job asks for %s", quote(r.Image), path, hash, r.RootHash)
	case signed != "":
		return fmt.Sprintf("the image %s has the root hash that the job asks for, and a block of it or of %s is damaged (journalctl -k says which)%s", quote(r.Image), path, signed)
	}
	return fmt.Sprintf("the image %s is damaged: it has the root hash that the job asks for, and a block of it or of %s does not fit (journalctl -k says which); "+
		"or it is no file system that the host knows, or lacks one of %s", quote(r.Image), path, placesOfImage)
}

// rootHashIn computes the root hash from the top of a tree of hashes; empty if it cannot.
func rootHashIn(path string) string {
	var h verityHead
	if err := binary.Read(bytes.NewReader(headOf(path, 0, 512)), binary.LittleEndian, &h); err != nil {
		return ""
	}
	if string(h.Signature[:]) != "verity\x00\x00" || h.Version != 1 || h.Type != 1 || int(h.SaltSize) > len(h.Salt) || h.HashBlock > maxHashBlock {
		return ""
	}
	top := headOf(path, int64(h.HashBlock), int(h.HashBlock)) // the tree follows the superblock's block
	if len(top) == 0 || len(top) != int(h.HashBlock) {
		return ""
	}
	salted := append(h.Salt[:h.SaltSize:h.SaltSize], top...)
	switch string(bytes.TrimRight(h.Algorithm[:], "\x00")) {
	case "sha256":
		sum := sha256.Sum256(salted)
		return hex.EncodeToString(sum[:])
	case "sha512":
		sum := sha512.Sum512(salted)
		return hex.EncodeToString(sum[:])
	}
	return ""
}

// headOf is a part of a file, or of what there is of it; nothing of anything but a
// regular file.
func headOf(path string, at int64, n int) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, at, int64(n)))
	if err != nil {
		return nil
	}
	return text
}
