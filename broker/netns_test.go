// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"
	"testing"
)

// TestIsNetworkNamespace: the kernel tells namespaces of networks from others, and
// from files.
func TestIsNetworkNamespace(t *testing.T) {
	for path, want := range map[string]string{
		"/dev/null": "no namespace at all", "/proc/self/status": "no namespace at all", "/none": "no such file",
	} {
		if err := isNetworkNamespace(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
