// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// perDevice is one element of IOReadBandwidthMax= and the like, (st).
type perDevice struct {
	Path  string
	Value uint64
}

// parsePerDevice splits "/dev/sda 10M".
func parsePerDevice(line string, read func(string) (uint64, error)) (perDevice, error) {
	path, text, ok := strings.Cut(line, " ")
	if !ok {
		return perDevice{}, errForm
	}
	if err := checkDevice(path); err != nil {
		return perDevice{}, err
	}
	n, err := read(strings.TrimLeft(text, " "))
	return perDevice{path, n}, err
}

func eachDevice(accepts string, read func(string) (uint64, error)) format {
	return list("a path in /dev and "+accepts+", one a line", "a(st)", func(line string) ([]perDevice, error) {
		v, err := parsePerDevice(line, read)
		return []perDevice{v}, err
	})
}

func parseRate(s string) (uint64, error) {
	if s == "infinity" {
		return infinity, nil
	}
	n, err := parseSize(s, 1000)
	if err == nil && n == 0 {
		err = errZero
	}
	return n, err
}

// deviceRate limits what is read from or written to a device in a second. PID 1
// sets all limits of a path at once, and a device can have several paths: a path
// that base does not have may be another name of one it has, and undo its limit.
var deviceRate = eachDevice(`a size or number a second, as "10M" (powers of 1000), or infinity`, parseRate).
	with(once(shrinking(nil, addRate, func(before, after map[string]uint64) bool {
		for path, rate := range before {
			if now, ok := after[path]; !ok || now > rate {
				return false
			}
		}
		return len(before) == len(after)
	}, "raises a limit or adds a device")))

func addRate(set map[string]uint64, line string) (map[string]uint64, error) {
	if line == "" {
		return nil, nil
	}
	rates := maps.Clone(set)
	if rates == nil {
		rates = make(map[string]uint64)
	}
	v, err := parsePerDevice(line, parseRate)
	rates[v.Path] = v.Value
	return rates, err
}

var deviceWeight = eachDevice("a weight from 1 to 10000", func(s string) (uint64, error) {
	n, err := parseUint(s, 10000)
	if err != nil || n == 0 {
		return 0, errWeight
	}
	return n, nil
}).with(weightOrder)

var deviceLatency = eachDevice(`a time span, as "50ms"`, parseMillis).with(weightOrder)

// deviceRule is one element of DeviceAllow=, (ss).
type deviceRule struct{ Device, Access string }

var errDevice = errors.New("does not name a device by a path in /dev, char-NAME or block-NAME")

func parseDeviceRule(line string) (deviceRule, error) {
	device, access, _ := strings.Cut(line, " ")
	if access = strings.TrimLeft(access, " "); access == "" {
		access = "rwm"
	}
	if !onlyOf(access, "rwm") || len(access) > 3 {
		return deviceRule{}, errors.New("has an access that is not of the letters r, w and m")
	}
	kind, name, ok := strings.Cut(device, "-")
	if ok && (kind == "char" || kind == "block") {
		if !onlyOf(name, letters+digits+"._*-") {
			return deviceRule{}, errDevice
		}
	} else if checkDevice(device) != nil {
		return deviceRule{}, errDevice
	}
	return deviceRule{device, access}, nil
}

func addDeviceRule(set []deviceRule, line string) ([]deviceRule, error) {
	if line == "" {
		return nil, nil
	}
	r, err := parseDeviceRule(line)
	return append(slices.Clone(set), r), err
}

var deviceAllow = list("a path in /dev, char-NAME or block-NAME, and of the letters r, w and m what is allowed, one device a line", "a(ss)", func(line string) ([]deviceRule, error) {
	r, err := parseDeviceRule(line)
	return []deviceRule{r}, err
}).with(shrinking(nil, addDeviceRule, func(before, after []deviceRule) bool {
	return !slices.ContainsFunc(after, func(a deviceRule) bool {
		return !slices.ContainsFunc(before, func(b deviceRule) bool {
			return a.Device == b.Device && onlyOf(a.Access, b.Access)
		})
	})
}, "allows more devices"))
