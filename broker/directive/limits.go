// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"math"
	"strings"

	"github.com/godbus/dbus/v5"
)

var errZero = errors.New("must not be 0")

const acceptsMemory = `a size, as "512M" (powers of 1024), a percentage of the host's memory, or infinity`

// memory is a size in bytes, or with a percentage a share in the property whose
// name ends in Scale. An empty line is empty; zero says whether 0 may be meant.
func memory(empty uint64, zero bool) format {
	return limit{
		accepts: acceptsMemory, empty: &empty, share: 10000, read: readMemory(zero),
	}.format(empty)
}

// startup is memory while the host starts, for which PID 1 takes no share.
func startup(empty uint64, zero bool) format { return startupLimit(&empty, empty, zero) }

func startupLimit(empty *uint64, unset uint64, zero bool) format {
	f := limit{
		accepts: `a size, as "512M" (powers of 1024), or infinity`, empty: empty, read: readMemory(zero),
	}.format(unset)
	return f.with(once(f.order))
}

func readMemory(zero bool) func(line string) (uint64, error) {
	return func(line string) (uint64, error) {
		n, err := parseSize(line, 1024)
		if err == nil && n == 0 && !zero {
			err = errZero
		}
		return n, err
	}
}

// tasksMax has no empty line: in a unit file it means the host's default, which
// PID 1 has no property for. Of a percentage 252 keeps a tenth at a reload.
var tasksMax = limit{
	accepts: "a number, a percentage below 100% of what the host can have, or infinity", share: 9999, since: 257,
	read: func(line string) (uint64, error) {
		n, err := parseUint(line, math.MaxUint64-1)
		if err == nil && n == 0 {
			err = errZero
		}
		return n, err
	},
}.format(infinity)

// limit is how a limit is written.
type limit struct {
	accepts string
	empty   *uint64 // what an empty line means; nil if it may not be
	share   int     // up to how many ten-thousandths may be written; 0 for none
	since   int     // the first systemd to which a share means the same after a reload
	read    func(line string) (uint64, error)
}

// format is the format of a limit that is unset if nothing is written.
func (l limit) format(unset uint64) format {
	f := scalar(l.accepts, "", l.values)
	f.percent = true
	return f.with(falling(limitRank(f), unset))
}

func (l limit) values(name, line string) ([]Value, error) {
	if strings.HasSuffix(line, "%") || strings.HasSuffix(line, "‰") || strings.HasSuffix(line, "‱") {
		share, err := parsePermyriad(line)
		switch {
		case err != nil:
			return nil, err
		case l.share == 0:
			return nil, errForm
		case share == 0:
			return nil, errZero
		case share > l.share:
			return nil, errRange
		}
		return []Value{{Name: name + "Scale", Value: dbus.MakeVariant(scaled(share)), Since: l.since}}, nil
	}
	switch {
	case line == "infinity":
		return []Value{value(name, infinity)}, nil
	case line == "" && l.empty != nil:
		return []Value{value(name, *l.empty)}, nil
	}
	n, err := l.read(line)
	return []Value{value(name, n)}, err
}

// errShare keeps a share from being compared with a number.
var errShare = errors.New("is a percentage, which cannot be compared")

// limitRank is the number a limit's line stands for.
func limitRank(f format) func(line string) (uint64, error) {
	return func(line string) (uint64, error) {
		values, err := f.parse(&Directive{format: f}, []string{line})
		if err != nil {
			return 0, err
		}
		n, ok := values[0].Value.Value().(uint64)
		if !ok {
			return 0, errShare
		}
		return n, nil
	}
}

// cpuQuota is a share of one CPU, and may be more than one; PID 1 wants it in
// microseconds per second. At a reload 252 drops what is not a whole percent,
// and so the whole limit if it is below one.
var cpuQuota = scalar(`a percentage of one CPU, as "150%"; empty for no limit`, "t", func(_, line string) ([]Value, error) {
	n, err := parseQuota(line)
	v := value("CPUQuotaPerSecUSec", n)
	if n != infinity && n%(sec/100) != 0 {
		v.Since = 257
	}
	return []Value{v}, err
}).withPercent().with(falling(parseQuota, infinity))

func parseQuota(line string) (uint64, error) {
	if line == "" {
		return infinity, nil
	}
	n, err := parsePermyriad(line)
	if err == nil && n == 0 {
		err = errZero
	}
	return uint64(n) * (sec / 10000), err //nolint:gosec // not negative
}

var cpuQuotaPeriod = single(`a time span, as "100ms"; empty for the default`, "t", func(line string) (uint64, error) {
	if line == "" {
		return infinity, nil
	}
	return parseMillis(line)
})

// pressureDuration is a time span of at least a second, as PID 1 demands.
var pressureDuration = single(`a time span of at least 1s, as "30s", in whole milliseconds`, "", func(line string) (uint64, error) {
	n, err := parseMillis(line)
	if err == nil && n < sec {
		err = errRange
	}
	return n, err
})

// share is a percentage as a part of 2^32-1.
var share = single("a percentage up to 100%", "u", func(line string) (uint32, error) {
	n, err := parseShare(line)
	return scaled(n), err
}).withPercent()

// rlimit is soft:hard, or one for both, in two properties.
func rlimit(accepts string, read func(string) (uint64, error)) format {
	parse := func(line string) (soft, hard uint64, err error) {
		first, second, both := strings.Cut(line, ":")
		if soft, err = read(first); err != nil {
			return 0, 0, err
		}
		if !both {
			return soft, soft, nil
		}
		if hard, err = read(second); err == nil && soft > hard {
			err = errors.New("has a soft limit above the hard one")
		}
		return soft, hard, err
	}
	f := scalar(accepts+", infinity, or SOFT:HARD", "", func(name, line string) ([]Value, error) {
		soft, hard, err := parse(line)
		return []Value{value(name, hard), value(name+"Soft", soft)}, err
	})
	return f.with(func(_ *Directive, before, after []string) string {
		if len(before) == 0 {
			return "has no limit to compare with"
		}
		was, wasHard, err := parse(before[len(before)-1])
		is, isHard, err2 := parse(after[len(after)-1])
		if err != nil || err2 != nil || is > was || isHard > wasHard {
			return "raises the limit"
		}
		return ""
	})
}

func orInfinity(read func(string) (uint64, error)) func(string) (uint64, error) {
	return func(s string) (uint64, error) {
		if s == "infinity" {
			return infinity, nil
		}
		return read(s)
	}
}

var (
	rlimitCount = rlimit("a number", orInfinity(func(s string) (uint64, error) { return parseUint(s, infinity-1) }))
	rlimitSize  = rlimit(`a size, as "1G" (powers of 1024)`, orInfinity(func(s string) (uint64, error) { return parseSize(s, 1024) }))
	rlimitSec   = rlimit(`a time span, as "1min" or in seconds`, orInfinity(func(s string) (uint64, error) {
		n, err := seconds.parse(s)
		if n == infinity {
			return n, err
		}
		return n/sec + min(1, n%sec), err
	}))
	rlimitUsec = rlimit(`a time span, as "100ms" or in microseconds`, orInfinity(microseconds.parse))
	rlimitNice = rlimit("a nice level with a sign, as -5 or +5, or a raw number from 0 to 40", parseRlimitNice)
)

// parseRlimitNice reads RLIMIT_NICE, 20 minus the best nice level.
func parseRlimitNice(s string) (uint64, error) {
	if level, ok := strings.CutPrefix(s, "+"); ok {
		n, err := parseUint(level, 19)
		return 20 - n, err
	}
	if level, ok := strings.CutPrefix(s, "-"); ok {
		n, err := parseUint(level, 20)
		return 20 + n, err
	}
	return parseUint(s, 40)
}
