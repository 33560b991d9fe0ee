// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestDigestTellsNothingWithoutItsKey: it is a property of the unit.
func TestDigestTellsNothingWithoutItsKey(t *testing.T) {
	w := newWorld(t)
	s := w.spec("a/1")
	s.Logging.FdToken = ""
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	plain := sha256.Sum256(b)
	if got, err := w.server.digest(s); err != nil || len(got) != 64 || got == hex.EncodeToString(plain[:]) {
		t.Errorf("the digest is %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(w.run, "digest-key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is %v, %v", info, err)
	}
}

func TestDigestKey(t *testing.T) {
	dir := t.TempDir()
	one, err := digestKey(dir)
	if err != nil || len(one) != keyBytes {
		t.Fatalf("digestKey = %x, %v", one, err)
	}
	if again, err := digestKey(dir); err != nil || string(again) != string(one) {
		t.Errorf("the next broker has the key %x, %v, want %x", again, err, one)
	}
	if err := os.WriteFile(filepath.Join(dir, "digest-key"), one[:3], 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := digestKey(dir); err != nil || len(other) != keyBytes {
		t.Errorf("half a key becomes %x, %v", other, err)
	}
	if _, err := digestKey(filepath.Join(dir, "none")); err == nil {
		t.Error("there is a key that cannot be kept")
	}
}
