// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// replays are the results that testbed/replay holds to, by the version of systemd.
var replays = []struct{ systemd, list string }{
	{"252", "../../testbed/replay/testdata/bookworm.tsv"}, {"257", "../../testbed/replay/testdata/trixie.tsv"},
}

// verdicts are what can come of a unit file, and how to read it.
var verdicts = []struct{ name, meaning string }{
	{"passed", "ends as under systemd alone"},
	{"refused", "the broker refuses it, under a policy that allows as much as one can"},
	{"not a request", "it says what no request can"},
	{"differs", "it runs, and ends otherwise"},
	{"not run", "systemd's own test does not run it on such a host"},
}

// replayed is what came of the unit files of systemd's own test, as Markdown.
func replayed() string {
	var b strings.Builder
	b.WriteString("\n### Systemd's own tests\n\n`make replay` sends the unit files of test-execute, from the source of each systemd, to the broker as requests,\n" +
		"and fails when one comes to something else than this:\n\n| | systemd 252 | systemd 257 |\n|---|---:|---:|\n")
	units, total := make(map[[2]string]map[string][]string), make([]int, len(replays))
	for i, r := range replays {
		text, err := os.ReadFile(r.list)
		if err != nil {
			panic(err)
		}
		for line := range strings.Lines(string(text)) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
			verdict, reason, _ := strings.Cut(rest, "\t")
			key := [2]string{verdict, reason}
			if units[key] == nil {
				units[key] = make(map[string][]string)
			}
			units[key][name] = append(units[key][name], r.systemd)
			total[i]++
		}
	}
	for _, v := range verdicts {
		fmt.Fprintf(&b, "| %s: %s | %d of %d | %d of %d |\n", v.name, v.meaning, verdictsOf(units, v.name, "252"), total[0], verdictsOf(units, v.name, "257"), total[1])
	}
	b.WriteString("\nWhy, for each that has not passed (only in one systemd where a number stands beside it):\n\n| | Reason | Unit files, `exec-….service` |\n|---|---|---|\n")
	for _, v := range verdicts[1:] {
		for _, key := range sortedKeys(units) {
			if key[0] == v.name {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", v.name, escape(key[1]), escape(unitList(units[key])))
			}
		}
	}
	return b.String()
}

func verdictsOf(units map[[2]string]map[string][]string, verdict, systemd string) (n int) {
	for key, names := range units {
		for _, in := range names {
			if key[0] == verdict && slices.Contains(in, systemd) {
				n++
			}
		}
	}
	return n
}

func sortedKeys(units map[[2]string]map[string][]string) [][2]string {
	var keys [][2]string
	for key := range units {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return strings.Compare(a[1], b[1]) })
	return keys
}

func unitList(names map[string][]string) string {
	var all []string
	for name, in := range names {
		text := strings.TrimPrefix(name, "exec-")
		if len(in) < len(replays) {
			text += " (" + in[0] + ")"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
