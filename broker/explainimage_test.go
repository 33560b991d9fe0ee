// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nomad-systemd-driver/broker/policy"
)

// verityData is a file of verity data with one block of hashes, and its root hash.
func verityData(salt string) (data []byte, hash string) {
	h := verityHead{
		Signature: [8]byte{'v', 'e', 'r', 'i', 't', 'y'}, Version: 1, Type: 1, DataBlock: 4096, HashBlock: 4096, DataBlocks: 1, SaltSize: uint16(len(salt)),
	}
	copy(h.Algorithm[:], "sha256")
	copy(h.Salt[:], salt)
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h)
	b.Write(make([]byte, 4096-b.Len()))
	top := bytes.Repeat([]byte{7}, 4096)
	sum := sha256.Sum256(append([]byte(salt), top...))
	return append(b.Bytes(), top...), hex.EncodeToString(sum[:])
}

// TestImagesThatCannotBeShown are told apart as well as they can be.
func TestImagesThatCannotBeShown(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	data, hash := verityData("salt")
	at4096 := make([]byte, 4096)
	copy(at4096[1024:], "\xe2\xe1\xf5\xe0")
	gpt := append(make([]byte, 512), "EFI PART"...)
	for name, text := range map[string][]byte{
		"squashfs": []byte("hsqs and more"), "erofs": at4096, "text": []byte("broken"), "gpt": gpt,
		"good": []byte("hsqs"), "good.verity": data, "odd": []byte("hsqs"), "odd.verity": []byte("nothing"),
	} {
		if err := os.WriteFile(at(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(at("tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0a", 32)
	for _, tt := range []struct{ image, hash, signature, want string }{
		{"tree", "", "", "the directory tree"},
		{"squashfs", "", "", ", a squashfs, is corrupt"},
		{"erofs", "", "", ", an erofs, is corrupt"},
		{"text", "", "", "of a kind that this host does not know"},
		{"none", "", "", "of a kind that this host does not know"},
		{"squashfs", hash, "", "has no verity data"},
		{"gpt", hash, "", "does not match its root hash " + hash + ", or is corrupt"},
		{"good", other, "", "is " + hash + ", the job asks for " + other},
		{"good", strings.ToUpper(hash), "", "is damaged"},
		{"good", hash, "/srv/s", "by nobody whom this host trusts"},
		{"odd", hash, "", "holds no verity data"},
	} {
		if got := explainImage(policy.Rootfs{Kind: policy.RootfsImage, Image: at(tt.image), RootHash: tt.hash, Signature: tt.signature}); !strings.Contains(got, tt.want) {
			t.Errorf("%s, %s: %q, want %q", tt.image, tt.hash, got, tt.want)
		}
	}
}
