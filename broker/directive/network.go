// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix is a range of addresses on D-Bus, (iayu).
type prefix struct {
	Family int32
	Bytes  []byte
	Length uint32
}

func prefixOf(p netip.Prefix) prefix {
	family := int32(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	return prefix{family, p.Masked().Addr().AsSlice(), uint32(p.Bits())} //nolint:gosec // at most 128
}

// named are the ranges with a name, systemd.resource-control(5).
var named = map[string][]string{
	"any":        {"0.0.0.0/0", "::/0"},
	"localhost":  {"127.0.0.0/8", "::1/128"},
	"link-local": {"169.254.0.0/16", "fe80::/64"},
	"multicast":  {"224.0.0.0/4", "ff00::/8"},
}

// addressList is a list of addresses, ranges and names of ranges.
func addressList(bus string) parser {
	return items(bus, func(line string) ([]prefix, error) {
		var all []prefix
		for word := range strings.FieldsSeq(line) {
			ranges, ok := named[word]
			if !ok {
				ranges = []string{word}
			}
			for _, text := range ranges {
				p, err := parsePrefix(text)
				if err != nil {
					return nil, fmt.Errorf("holds %s, which is not an address, a range such as 10.0.0.0/8, nor any, localhost, link-local or multicast", word)
				}
				all = append(all, prefixOf(p))
			}
		}
		return all, nil
	})
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("is no address")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// ports is a rule of SocketBindAllow= and SocketBindDeny= on D-Bus, (iiqq): a
// count of 0 ports stands for all.
type ports struct {
	Family, Protocol int32
	Count, First     uint16
}

// socketBind is [family:][protocol:][ports] with at least one of them
// (parse_socket_bind_item in systemd's shared/parse-helpers.c).
func socketBind(line string) ([]ports, error) {
	problem := errors.New("is not [ipv4:|ipv6:][tcp:|udp:]PORT, FROM-TO or any")
	var p ports
	rest := strings.Split(line, ":")
	if family, ok := map[string]int32{"ipv4": unix.AF_INET, "ipv6": unix.AF_INET6}[rest[0]]; ok {
		p.Family, rest = family, rest[1:]
	}
	if len(rest) > 0 {
		if protocol, ok := map[string]int32{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[rest[0]]; ok {
			p.Protocol, rest = protocol, rest[1:]
		}
	}
	switch {
	case len(rest) == 0 || len(rest) == 1 && rest[0] == "any":
		return []ports{p}, nil
	case len(rest) > 1:
		return nil, problem
	}
	first, last, isRange := strings.Cut(rest[0], "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || from > to {
		return nil, problem
	}
	p.First, p.Count = uint16(from), uint16(to-from+1)
	return []ports{p}, nil
}

var interfaceName = regexp.MustCompile(`\A[A-Za-z0-9_.-]{1,15}\z`)

func networkInterface(word string, _ bool) (string, int, error) {
	if !interfaceName.MatchString(word) || word == "." || word == ".." {
		return "", 0, fmt.Errorf("holds %s, which is not the name of a network interface", word)
	}
	return word, 0, nil
}
