// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"math"
	"strings"
	"testing"
)

func has(n uint64) Count { return Count{n, true} }

func TestParseCPU(t *testing.T) {
	const three = "usage_usec 30\nuser_usec 20\nsystem_usec 10\n"
	base := CPU{Usage: has(30), User: has(20), System: has(10)}
	quota := base
	quota.Periods, quota.Throttled, quota.ThrottledTime = has(5), has(0), has(math.MaxUint64)
	tests := []struct {
		name, in string
		want     CPU
	}{
		{"without the controller", three, base},
		{"with a quota", three + "nr_periods 5\nnr_throttled 0\nthrottled_usec 18446744073709551615\n", quota},
		{"keys of a later kernel", "a\n\nb c d\n" + three + "usage_usec_x 4\n", base},
		{"fields of a later kernel", "usage_usec 30 31 x\nuser_usec 20\nsystem_usec 10", base},
		{"nothing", "", CPU{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got CPU
			if err := got.parse([]byte(tt.in)); err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseMemory(t *testing.T) {
	var got Memory
	err := got.parse([]byte("anon 1\nfile 2\nkernel_stack 9\nfile_mapped 4\n"))
	if want := (Memory{Anon: has(1), File: has(2), FileMapped: has(4)}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v: before Linux 5.18 there is no kernel", got, err, want)
	}
}

func TestParseIO(t *testing.T) {
	tests := []struct {
		name, in string
		want     [4]uint64
	}{
		{"a group that did nothing", "", [4]uint64{}},
		{"a device without figures", "8:0 \n", [4]uint64{}},
		{"two devices", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 rbytes=10 wbytes=20 rios=30 wios=40\n", [4]uint64{11, 22, 33, 44}},
		{"fields of a later kernel", "8:0 x rbytes=1 =3 y= wbytes=2 cost.usage=1.5 rios=3 wios=4\n", [4]uint64{1, 2, 3, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got IO
			want := IO{has(tt.want[0]), has(tt.want[1]), has(tt.want[2]), has(tt.want[3])}
			if err := got.parse([]byte(tt.in)); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestParsePressure(t *testing.T) {
	tests := []struct {
		name, in string
		want     Pressure
	}{
		{
			"both lines", "some avg10=2.19 avg60=4.77 avg300=5.47 total=33\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
			Pressure{Some: Stall{2.19, 33, true}, Full: Stall{0, 0, true}},
		},
		{"processors before Linux 5.13", "some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n", Pressure{Some: Stall{100, 1, true}}},
		{"fields of a later kernel", "most avg10=x\nsome avg5=x avg10=1.00 y total=1 z=\n", Pressure{Some: Stall{1, 1, true}}},
		{"half a line", "some avg10=1.00\n", Pressure{Some: Stall{Avg10: 1}}},
		{"nothing", "", Pressure{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Pressure
			if err := got.parse([]byte(tt.in)); err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestWhatIsNoNumberIsRefused(t *testing.T) {
	tests := []struct {
		name, in, want string
		parse          func([]byte) error
	}{
		{"a word", "user_usec x\n", `user_usec: "x" is not a number`, new(CPU).parse},
		{"a sign", "usage_usec -1\n", `usage_usec: "-1" is not a number`, new(CPU).parse},
		{"one too many", "anon 18446744073709551616\n", `anon: "18446744073709551616" is not a number`, new(Memory).parse},
		{"nothing", "anon\n", "anon: there is no number", new(Memory).parse},
		{"nothing in a file of one number", "\n", "there is no number", new(Count).parse},
		{"an empty field", "8:0 rbytes=\n", `8:0: rbytes: "" is not a number`, new(IO).parse},
		{"a sum that is too large", "8:0 wios=18446744073709551615\n8:1 wios=1\n", "8:1: wios", new(IO).parse},
		{"no percentage", "some avg10=NaN total=1\n", `some: avg10: "NaN" is not a percentage`, new(Pressure).parse},
		{"less than nothing", "full avg10=-0.1 total=1\n", `full: avg10: "-0.1" is not a percentage`, new(Pressure).parse},
		{"half a microsecond", "full avg10=0.1 total=0.5\n", `full: total: "0.5" is not a number`, new(Pressure).parse},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
