// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSignatureIsRoots: and what is read is of the form that the kernel takes.
func TestSignatureIsRoots(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has files of root")
	}
	dir := t.TempDir()
	der := []byte{0x30, 0x82, 1, 2}
	for name, text := range map[string][]byte{
		"good": der, "open": der, "theirs": der, "empty": nil, "pem": []byte("-----BEGIN PKCS7-----"), "long": bytes.Repeat(der, maxSignature/4+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "open"), 0o602), os.Chown(filepath.Join(dir, "theirs"), int(clientUID()), -1),
		os.Symlink("good", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"good": "", "open": "others than root can write", "theirs": "others than root can write", "empty": "is no signature", "pem": "not in DER",
		"long": "is no signature", "link": "leads over a symlink", "none": "no such file", ".": "is not a regular file",
	} {
		got, err := signatureAt(filepath.Join(dir, name))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err == nil && !bytes.Equal(got, der) {
			t.Errorf("%s: read %x", name, got)
		}
	}
	if got, err := signatureAt(""); got != nil || err != nil {
		t.Errorf("none: %x, %v", got, err)
	}
}
