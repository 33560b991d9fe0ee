// SPDX-License-Identifier: MPL-2.0

package main

import (
	"reflect"
	"testing"
)

func TestMergeReplacesWholeMeasures(t *testing.T) {
	head := []string{"measure", "subject", "parameter", "round", "value", "unit"}
	old := [][]string{
		head,
		{"machine", "kernel", "6.1", "0", "0", ""},
		{"machine", "host of starts", "idle", "0", "0", ""},
		{"start", "bare", "1", "1", "0.1", "s"},
		{"start", "broker", "1", "1", "0.2", "s"},
		{"exit", "bare", "", "1", "0.3", "s"},
	}
	fresh := [][]string{
		head,
		{"machine", "kernel", "6.12", "0", "0", ""},
		{"start", "bare", "1", "1", "0.5", "s"},
	}
	want := [][]string{head, old[2], old[5], fresh[1], fresh[2]}
	if got := merge(old, fresh); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := merge(nil, fresh); !reflect.DeepEqual(got, fresh) {
		t.Errorf("a first run: got %v", got)
	}
}
