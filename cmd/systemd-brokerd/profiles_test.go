// SPDX-License-Identifier: MPL-2.0

package main

import (
	"io"
	"strings"
	"testing"
)

func TestProfilesCommand(t *testing.T) {
	dir := t.TempDir() // without profiles of its own
	var out strings.Builder
	if err := profiles([]string{"--policy", dir + "/policy.d"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "strict\t") {
		t.Errorf("got %s, %v", out.String(), err)
	}
	out.Reset()
	if err := profiles([]string{"--policy", dir + "/policy.d", "strict"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), "[Service]") {
		t.Errorf("got %s, %v", out.String(), err)
	}
	if err := profiles([]string{"--policy", dir + "/policy.d", "none"}, &out, io.Discard); err == nil {
		t.Error("a profile that does not exist is printed")
	}
}
