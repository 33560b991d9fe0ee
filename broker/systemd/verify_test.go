// SPDX-License-Identifier: MPL-2.0

package systemd

import (
	"errors"
	"testing"

	"nomad-systemd-driver/broker/systemd/fakepid1"
)

// TestAStartBelievesOnlyAUnitThatIsThere: PID 1 answers for a unit that is gone as if
// it had ended well.
func TestAStartBelievesOnlyAUnitThatIsThere(t *testing.T) {
	var mismatch *MismatchError
	tests := []struct {
		name, property string
		value          any
		want           func(error) bool
	}{
		{"a unit that vanished", "LoadState", "not-found", func(err error) bool { return errors.Is(err, ErrNotFound) }},
		{"a unit whose file is bad", "LoadState", "bad-setting", func(err error) bool { return errors.As(err, &mismatch) }},
		{"a unit that was never started", "InvocationID", []byte{}, func(err error) bool { return errors.As(err, &mismatch) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pid1 := fakepid1.New(t)
			pid1.Effective(test.property, test.value)
			if s, err := dialFake(t, pid1, nil).start(testContext(t), testUnit, nil); err == nil || !test.want(err) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}
