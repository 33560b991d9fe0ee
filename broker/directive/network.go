// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// The kernel's numbers of address families and protocols.
const (
	afInet  = 2
	afInet6 = 10
	tcp     = 6
	udp     = 17
)

// address is one element of IPAddressAllow= on D-Bus, (iayu).
type address struct {
	Family  int32
	Address []byte
	Prefix  uint32
}

var namedPrefixes = map[string][]netip.Prefix{
	"any":        {netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	"localhost":  {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	"link-local": {netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/64")},
	"multicast":  {netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("ff00::/8")},
}

func parsePrefixes(line string) ([]netip.Prefix, error) {
	fields, err := words(line)
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, field := range fields {
		if named, ok := namedPrefixes[field]; ok {
			all = append(all, named...)
			continue
		}
		host, bits, hasBits := strings.Cut(field, "/")
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return nil, errors.New("has what is neither an address nor a prefix")
		}
		n := uint64(addr.BitLen()) //nolint:gosec // 32 or 128
		if hasBits {
			if n, err = parseUint(bits, n); err != nil {
				return nil, errors.New("has a prefix of a wrong length")
			}
		}
		all = append(all, netip.PrefixFrom(addr, int(n))) //nolint:gosec // at most 128
	}
	return all, nil
}

func wirePrefix(p netip.Prefix) address {
	a := address{Family: afInet6, Address: p.Addr().AsSlice(), Prefix: uint32(p.Bits())} //nolint:gosec // at most 128
	if p.Addr().Is4() {
		a.Family = afInet
	}
	return a
}

const acceptsPrefixes = "addresses, prefixes as 10.0.0.0/8, any, localhost, link-local and multicast"

func addPrefixes(set []netip.Prefix, line string) ([]netip.Prefix, error) {
	if line == "" {
		return nil, nil
	}
	more, err := parsePrefixes(line)
	return slices.Concat(set, more), err
}

// covered reports whether each of the prefixes lies in one of whole.
func covered(whole, prefixes []netip.Prefix) bool {
	return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(whole, func(w netip.Prefix) bool {
			return w.Bits() <= p.Bits() && w.Masked().Contains(p.Addr())
		})
	})
}

var prefixes = list(acceptsPrefixes, "a(iayu)", func(line string) ([]address, error) {
	all, err := parsePrefixes(line)
	wire := make([]address, 0, len(all))
	for _, p := range all {
		wire = append(wire, wirePrefix(p))
	}
	return wire, err
})

var (
	allowPrefixes = prefixes.with(shrinking(nil, addPrefixes, covered, "allows more addresses"))
	denyPrefixes  = prefixes.with(shrinking(nil, addPrefixes, func(before, after []netip.Prefix) bool {
		return covered(after, before)
	}, "denies fewer addresses"))
)

// bindRule is one element of SocketBindAllow= on D-Bus, (iiqq). Zero is any.
type bindRule struct {
	Family, Protocol int32
	Ports, First     uint16
}

var errBind = errors.New("is not of the form [ipv4|ipv6:][tcp|udp:][any|PORT|PORT-PORT]")

func parseBindRule(line string) (bindRule, error) {
	var r bindRule
	next := 0 // parts come in this order and may be left out
	for part := range strings.SplitSeq(line, ":") {
		family, isFamily := map[string]int32{"ipv4": afInet, "ipv6": afInet6}[part]
		protocol, isProtocol := map[string]int32{"tcp": tcp, "udp": udp}[part]
		switch {
		case isFamily && next < 1:
			r.Family, next = family, 1
		case isProtocol && next < 2:
			r.Protocol, next = protocol, 2
		case part == "any" && next < 3:
			next = 3
		case next < 3:
			first, last, isRange := strings.Cut(part, "-")
			if !isRange {
				last = first
			}
			a, err := parseUint(first, 65535)
			if err != nil || a == 0 {
				return r, errBind
			}
			b, err := parseUint(last, 65535)
			if err != nil || b < a {
				return r, errBind
			}
			r.First, r.Ports, next = uint16(a), uint16(b-a+1), 3 //nolint:gosec // at most 65535
		default:
			return r, errBind
		}
	}
	return r, nil
}

// holds reports whether each socket that matches o matches r.
func (r bindRule) holds(o bindRule) bool {
	return (r.Family == 0 || r.Family == o.Family) && (r.Protocol == 0 || r.Protocol == o.Protocol) &&
		(r.Ports == 0 || o.Ports != 0 && r.First <= o.First && int(o.First)+int(o.Ports) <= int(r.First)+int(r.Ports))
}

func addBindRule(set []bindRule, line string) ([]bindRule, error) {
	if line == "" {
		return nil, nil
	}
	r, err := parseBindRule(line)
	return append(slices.Clone(set), r), err
}

// matched reports whether each of the rules lies in one of whole.
func matched(whole, rules []bindRule) bool {
	return !slices.ContainsFunc(rules, func(r bindRule) bool {
		return !slices.ContainsFunc(whole, func(w bindRule) bool { return w.holds(r) })
	})
}

var bindRules = list("[ipv4|ipv6:][tcp|udp:][any|PORT|PORT-PORT], one a line", "a(iiqq)", func(line string) ([]bindRule, error) {
	r, err := parseBindRule(line)
	return []bindRule{r}, err
})

var (
	allowBind = bindRules.with(shrinking(nil, addBindRule, matched, "allows more ports"))
	denyBind  = bindRules.with(shrinking(nil, addBindRule, func(before, after []bindRule) bool {
		return matched(after, before)
	}, "denies fewer ports"))
)
