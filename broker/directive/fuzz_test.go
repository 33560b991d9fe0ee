// SPDX-License-Identifier: MPL-2.0

package directive_test

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"nomad-systemd-driver/broker/directive"
)

// FuzzParse wants of any directive and lines values of the right types, or an
// error that names the directive, and never a string that could leave its line.
func FuzzParse(f *testing.F) {
	for _, d := range offered() {
		for _, candidates := range [][][]string{corpus(), singles(hostile)} {
			for _, c := range accepted(d, candidates) {
				f.Add(d.Name, strings.Join(c.lines, "\n"))
			}
		}
	}
	for _, value := range hostile {
		f.Add("SyslogIdentifier", value)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		d, ok := directive.Lookup(name)
		if !ok {
			if near, ok := directive.Nearest(name); ok {
				if _, ok := directive.Lookup(near); !ok {
					t.Errorf("%q has the suggestion %q, which there is not", name, near)
				}
			}
			return
		}
		for _, lines := range [][]string{{text}, strings.Split(text, "\n"), {text, ""}, {"", text, text}} {
			values, err := d.Parse(lines)
			if err != nil {
				var e *directive.Error
				if !errors.As(err, &e) || e.Directive != name || e.Problem == "" || values != nil {
					t.Fatalf("Parse(%q) = %v, %v", lines, values, err)
				}
				continue
			}
			checkValues(t, d, lines, values)
			if d.Tightens(lines, nil) != nil {
				t.Errorf("%s: nothing loosens %q", name, lines)
			}
			_ = d.Tightens(lines, lines)
			_ = d.Tightens(nil, lines)
		}
	})
}

// FuzzNearest wants a directive there is, or none.
func FuzzNearest(f *testing.F) {
	f.Add("ProtectHom")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		if near, ok := directive.Nearest(name); ok {
			if _, ok := directive.Lookup(near); !ok {
				t.Errorf("%q has the suggestion %q, which there is not", name, near)
			}
		}
	})
}

// share is the one use of a % in a list: before a comma or the end it starts no
// specifier.
var share = regexp.MustCompile(`\bsize=([0-9]{1,3})%(,|$)`)

// checkValues checks what is true of all values, whatever was parsed.
func checkValues(t *testing.T, d *directive.Directive, lines []string, values []directive.Value) {
	t.Helper()
	for _, v := range values {
		ok := false
		for _, b := range d.Buses {
			ok = ok || b.Name == v.Name && b.Signature == v.Value.Signature().String()
		}
		if !ok {
			t.Errorf("%s: %q sets %s of type %s, which is not in the table", d.Name, lines, v.Name, v.Value.Signature())
		}
		eachString(reflect.ValueOf(v.Value.Value()), func(s string) {
			if d.Name == "TemporaryFileSystem" {
				s = share.ReplaceAllString(s, "size=$1$2")
			}
			if strings.ContainsAny(s, "%\"'") || strings.HasSuffix(s, `\`) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unicode.IsControl) {
				// A pattern may hold quotes, and spaces after a ~.
				if d.Name != "LogFilterPatterns" || strings.Contains(s, "%") || strings.HasSuffix(s, `\`) || strings.ContainsFunc(s, unicode.IsControl) {
					t.Errorf("%s: %q gives PID 1 the string %q", d.Name, lines, s)
				}
			}
		})
	}
}

// eachString calls f with all strings in a value.
func eachString(v reflect.Value, f func(string)) {
	switch v.Kind() {
	case reflect.String:
		f(v.String())
	case reflect.Slice:
		for i := range v.Len() {
			eachString(v.Index(i), f)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			eachString(field, f)
		}
	}
}
