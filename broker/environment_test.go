// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"strings"
	"testing"
)

func TestEncodeEnvironment(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing", nil, ""},
		{"names are sorted", map[string]string{"B": "2", "A": "1"}, "A=\"1\"\nB=\"2\"\n"},
		{"an empty value stays", map[string]string{"A": ""}, "A=\"\"\n"},
		{"what a shell would read is escaped", map[string]string{"A": "\\ \" ` $"}, "A=\"\\\\ \\\" \\` \\$\"\n"},
		{"other characters are not", map[string]string{"A": "' # ; % é\t"}, "A=\"' # ; % é\t\"\n"},
		{"a newline stays within the quotes", map[string]string{"A": "1\nB=2"}, "A=\"1\nB=2\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(encodeEnvironment(tt.env)); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// FuzzEncodeEnvironment reads the file back by the rules of systemd's parser
// and compares. testbed/e2e does the same against systemd itself.
func FuzzEncodeEnvironment(f *testing.F) {
	for _, v := range []string{"", "a", "\\", "\"", "\\\"", "$HOME `id`", "1\n2", "a\\\nb", " lead", "trail ", "#", "é"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !envValue(value) {
			t.Skip("refused before it gets here")
		}
		got := decodeEnvironment(t, string(encodeEnvironment(map[string]string{"A": value, "Z": "end"})))
		if got["A"] != value || got["Z"] != "end" || len(got) != 2 {
			t.Errorf("got %q, want %q", got, value)
		}
	})
}

// decodeEnvironment reads double-quoted assignments as systemd does.
func decodeEnvironment(t *testing.T, file string) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for file != "" {
		name, rest, ok := strings.Cut(file, `="`)
		if !ok {
			t.Fatalf("no assignment in %q", file)
		}
		var value strings.Builder
		for i := 0; ; i++ {
			if i >= len(rest) {
				t.Fatalf("no end of the value in %q", rest)
			}
			if rest[i] == '"' {
				file = strings.TrimPrefix(rest[i+1:], "\n")
				break
			}
			if rest[i] != '\\' {
				value.WriteByte(rest[i])
				continue
			}
			i++
			switch {
			case strings.IndexByte("\"\\`$", rest[i]) >= 0:
				value.WriteByte(rest[i])
			case rest[i] != '\n':
				value.WriteString(`\` + rest[i:i+1])
			}
		}
		env[name] = value.String()
	}
	return env
}

func largeEnvironment() map[string]string {
	env := make(map[string]string)
	for i := range 60 {
		env[fmt.Sprintf("NOMAD_VARIABLE_%d", i)] = strings.Repeat("some/value", 4)
	}
	env["QUOTED"] = "a \"quoted\" $value"
	return env
}

func BenchmarkEncodeEnvironment(b *testing.B) {
	env := largeEnvironment()
	b.ReportAllocs()
	for b.Loop() {
		encodeEnvironment(env)
	}
}

// TestEncodeEnvironmentIsCheap: nothing is copied for each variable.
func TestEncodeEnvironmentIsCheap(t *testing.T) {
	const most = 30
	env := largeEnvironment()
	if n := testing.AllocsPerRun(100, func() { encodeEnvironment(env) }); n > most {
		t.Errorf("an environment of %d variables takes %.0f allocations, want at most %d", len(env), n, most)
	}
}
