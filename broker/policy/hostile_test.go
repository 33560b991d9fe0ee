// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"nomad-systemd-driver/broker/policy"
)

const mebibyte = 1 << 20

// TestHostileFileIsAnErrorAndNoMore holds texts that overflow the stack of a
// parser, fill its memory, or look like something else than they are.
func TestHostileFileIsAnErrorAndNoMore(t *testing.T) {
	const (
		deep = 200000 // enough to overflow the parser's stack
		long = 20000
	)
	for name, row := range map[string]struct{ text, want string }{
		"nested parentheses":            {"a = " + strings.Repeat("(", deep), "1:5: functions and parentheses are not allowed"},
		"nested lists":                  {"a = " + strings.Repeat("[", deep), "1:37: brackets are nested more than 32 deep"},
		"nested lists over lines":       {"a = " + strings.Repeat("[\n", long), "33:1: brackets are nested more than 32 deep"},
		"nested objects":                {"a = " + strings.Repeat("{b=", long), "brackets are nested more than 32 deep"},
		"nested blocks":                 {strings.Repeat("a {\n", long), "33:3: brackets are nested more than 32 deep"},
		"nested templates":              {"a = " + strings.Repeat(`"${`, long), "1:6: templates are not allowed"},
		"a chain of negations":          {"a = " + strings.Repeat("!", long), `1:5: "!" is not allowed`},
		"a chain of minus signs":        {"a = " + strings.Repeat("-", long), "1:5: negative numbers"},
		"a chain of attributes":         {"a = b" + strings.Repeat(".b", long), "1:6: variables are not allowed"},
		"a chain of indexes":            {"a = b" + strings.Repeat("[0]", long), "lacks version|unknown attribute"},
		"a chain of conditionals":       {"a = b" + strings.Repeat("?b:b", long), `1:6: "?" is not allowed`},
		"closing brackets only":         {strings.Repeat("}", long), "1:1: argument or block definition required"},
		"a number of a mebibyte":        {"version = " + strings.Repeat("9", mebibyte-10), "1:11: this is not a whole number"},
		"a number with a huge exponent": {"version = 1e999999999", "1:11: this is not a whole number"},
		"a string of a mebibyte":        {`a = "` + strings.Repeat("x", mebibyte-5), "unterminated template string"},
		"an identifier of a mebibyte":   {strings.Repeat("x", mebibyte), "1:1: argument or block definition required"},
		"a mebibyte of spaces":          {strings.Repeat(" ", mebibyte), "the file lacks version"},
		"many new lines":                {strings.Repeat("\n", mebibyte/8), "the file lacks version"},
		"a mebibyte and a byte":         {oneClient + strings.Repeat("#", mebibyte+1-len(oneClient)), "a.hcl: is larger than 1048576 bytes"},
		"two mebibytes":                 {strings.Repeat("#", 2*mebibyte), "a.hcl: is larger than 1048576 bytes"},
		"an empty file":                 {"", "1:1: the file lacks version"},
		"a NUL byte":                    {oneClient + "# a\x00", "10:4: the character U+0000 cannot be seen"},
		"a byte order mark":             {"\ufeff" + oneClient, "1:1: the file starts with a byte order mark"},
		"a byte order mark inside":      {oneClient + "# \ufeff", "10:3: the character U+FEFF cannot be seen"},
		"UTF-16":                        {"v\x00e\x00r\x00", "1:2: the character U+0000"},
		"bytes that are not UTF-8":      {oneClient + "# \xff", "10:3: the byte 0xff is not valid UTF-8"},
		"a character cut in two":        {oneClient + "# ä"[:3], "10:3: the byte 0xc3 is not valid UTF-8"},
		"an encoded surrogate":          {"# \xed\xa0\x80", "1:3: the byte 0xed is not valid UTF-8"},
		"text that is reordered":        {oneClient + "# \u202e", "10:3: the character U+202E cannot be seen"},
		"a space of no width":           {"ver\u200bsion = 1", "1:4: the character U+200B cannot be seen"},
		"a soft hyphen":                 {"# \u00ad", "1:3: the character U+00AD cannot be seen"},
		"a line separator":              {"# \u2028rule", "1:3: the character U+2028 cannot be seen"},
		"an escape sequence":            {"# \x1b[2J", "1:3: the character U+001B cannot be seen"},
		"a C1 control character":        {"# \u009b2J", "1:3: the character U+009B cannot be seen"},
		"a carriage return alone":       {"version = 1\rrule", "1:12: the character U+000D cannot be seen"},
		"a look-alike letter":           {"versi\u043en = 1", `unknown attribute "versiоn"`},
		"too many rules":                {oneClient + manyRules(10001), "the policy holds more than 10000 blocks of type rule"},
		"a list that is too long":       {oneClient + "rule \"r\" {\n client = \"nomad\"\n log_drivers = [" + strings.Repeat(`"fds",`, 1025) + "]\n}", "log_drivers holds 1025 values, more than 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Load(fstest.MapFS{"a.hcl": {Data: []byte(row.text)}}, host(t), nil)
			checkLoadError(t, []byte(row.text), p, err)
			found := false
			for want := range strings.SplitSeq(row.want, "|") {
				found = found || strings.Contains(err.Error(), want)
			}
			if !found {
				t.Errorf("error %.300q, want one with %q", err.Error(), row.want)
			}
		})
	}
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "rule \"r%d\" {\nclient = \"nomad\"\n}\n", i)
	}
	return b.String()
}

func TestUnusualFilesThatAreFine(t *testing.T) {
	for name, text := range map[string]string{
		"lines that end as on Windows": strings.ReplaceAll(twoRules, "\n", "\r\n"),
		"no new line at the end":       strings.TrimSuffix(twoRules, "\n"),
		"a mebibyte to the byte":       twoRules + strings.Repeat("#", mebibyte-len(twoRules)),
		"comments of every kind":       "// a\n# b ( [ { \"${ \n/* c \n ((( */\n" + twoRules,
		"letters of other languages":   "# größer, 大, \U0001F512, \uFFFD\n" + twoRules,
		"names without quotes":         strings.NewReplacer(`client "nomad" {`, "client nomad {").Replace(twoRules),
		"a list over lines":            strings.ReplaceAll(twoRules, `["/local"]`, "[\n  \"/local\", # why\n  ]"),
		"as many rules as there can be": oneClient + strings.TrimPrefix(twoRules, oneClient) +
			manyRules(9998),
	} {
		t.Run(name, func(t *testing.T) {
			r := allowedRequest()
			r.User = "app"
			d, err := load(t, text).Decide(policy.Peer{UID: nomadUID}, r)
			if err != nil || d.Rule() != "a" {
				t.Errorf("Decide: %v, want it allowed by rule a", err)
			}
		})
	}
}

func TestNumberOfFilesIsLimited(t *testing.T) {
	files := fstest.MapFS{"0.hcl": {Data: []byte(twoRules)}}
	for i := range 255 {
		files[fmt.Sprintf("a%03d.hcl", i)] = &fstest.MapFile{Data: []byte("version = 1\n")}
	}
	if _, err := policy.Load(files, host(t), nil); err != nil {
		t.Errorf("Load of 256 files: %v, want no error", err)
	}
	files["z.hcl"] = files["a000.hcl"]
	if _, err := policy.Load(files, host(t), nil); err == nil || !strings.Contains(err.Error(), "more than 256 files") {
		t.Errorf("Load of 257 files: %v, want an error that there are too many", err)
	}
}

func TestSizeOfAllFilesIsLimited(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 9 {
		files[fmt.Sprintf("%d.hcl", i)] = &fstest.MapFile{Data: []byte(strings.Repeat("#", mebibyte-1))}
	}
	_, err := policy.Load(files, host(t), nil)
	if err == nil || err.Error() != "the policy's files hold more than 8388608 bytes together; shorten them" {
		t.Errorf("Load of 9 MiB: %v, want an error that it is too much", err)
	}
}

func TestMistakeInAnyFileRefusesThePolicyAsAWhole(t *testing.T) {
	p, err := policy.Load(fstest.MapFS{
		"a.hcl": {Data: []byte(twoRules)},
		"b.hcl": {Data: []byte("version = 1\nrule \"a\" {\n  client = \"nomad\"\n}\n")},
	}, host(t), nil)
	if p != nil || err == nil || !strings.HasPrefix(err.Error(), `b.hcl:2:1: rule "a" is defined already at a.hcl:11;`) {
		t.Errorf("Load = %v, %v, want an error that rule a is defined twice", p, err)
	}
}

// TestOnlyRegularFilesAreRead is about files that make a reader wait, or lead
// it elsewhere.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a symlink":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a broken symlink": func(path string) error {
			return os.Symlink("nowhere", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := make(filepath.Join(dir, "x.hcl")); err != nil {
				t.Fatal(err)
			}
			p, err := policy.Load(os.DirFS(dir), host(t), nil)
			var le *policy.LoadError
			if p != nil || !errors.As(err, &le) || !strings.HasPrefix(le.Summary(), "x.hcl: is not a regular file") {
				t.Errorf("Load = %v, %v, want an error that x.hcl is not a regular file", p, err)
			}
		})
	}
}

func TestNameOfAFileCannotForgeAMessage(t *testing.T) {
	_, err := policy.Load(fstest.MapFS{"a\n\x1b[2J.hcl": {Data: []byte("x")}}, host(t), nil)
	if err == nil || !strings.HasPrefix(err.Error(), `"a\n\x1b[2J.hcl":1:1: `) {
		t.Errorf("Load: %q, want an error with the name in quotes", err)
	}
}

func TestFileThatCannotBeReadIsAnError(t *testing.T) {
	for _, when := range []string{"opened", "read"} {
		files := brokenFS{fstest.MapFS{"x.hcl": {Data: []byte(oneClient)}}, when}
		p, err := policy.Load(files, host(t), nil)
		if want := "x.hcl: cannot be " + when + ": input/output error"; p != nil || err == nil || err.Error() != want {
			t.Errorf("Load = %v, %v, want the error %q", p, err, want)
		}
	}
}

// brokenFS fails when a file is opened or read.
type brokenFS struct {
	fstest.MapFS
	when string
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if b.when == "opened" {
		return nil, syscall.EIO
	}
	f, err := b.MapFS.Open(name)
	return brokenFile{f}, err
}

type brokenFile struct{ fs.File }

func (brokenFile) Read([]byte) (int, error) { return 0, syscall.EIO }
