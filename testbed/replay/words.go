// SPDX-License-Identifier: MPL-2.0

package replay

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Command is a program with its arguments, as they arrive.
type Command struct {
	Words   []string
	MayFail bool // "-": whatever it ends with
}

// commands are those of a line of ExecStart=, with nothing left for systemd to replace
// in them.
func commands(line string) ([]Command, error) {
	all, err := words(line)
	if err != nil {
		return nil, err
	}
	var list []Command
	for len(all) > 0 {
		n := slices.Index(all, ";")
		if n < 0 {
			n = len(all)
		}
		c, err := command(all[:n])
		if err != nil {
			return nil, err
		}
		list, all = append(list, c), all[min(n+1, len(all)):]
	}
	return list, nil
}

func command(all []string) (c Command, err error) {
	literally := false
	if len(all) > 0 {
		bare := strings.TrimLeft(all[0], "@-:+!|")
		for _, prefix := range strings.TrimSuffix(all[0], bare) {
			switch prefix {
			case '-':
				c.MayFail = true
			case ':':
				literally = true
			default:
				return c, fmt.Errorf("\"%c\" runs it otherwise than its unit says, with more rights or another name", prefix)
			}
		}
		all[0] = bare
	}
	if len(all) == 0 || all[0] == "" {
		return c, errors.New("it names no program")
	}
	for _, word := range all {
		if word, err = expanded(word, !literally); err != nil {
			return c, err
		}
		c.Words = append(c.Words, word)
	}
	return c, nil
}

// specifiers are what the manager of the system puts for those that no unit, user or
// host has a part in. Requests have none, so that it is for a client to replace them.
var specifiers = map[byte]string{
	'%': "%", 'u': "root", 'U': "0", 'g': "root", 'G': "0", 'h': "/root",
	't': "/run", 'S': "/var/lib", 'T': "/tmp", 'V': "/var/tmp",
}

// expanded is a word with its specifiers, and with "$$" for a dollar sign if it stands
// in a command. There a variable begins a word, or stands in braces.
func expanded(word string, inCommand bool) (string, error) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		c, next := word[i], byte(0)
		if i+1 < len(word) {
			next = word[i+1]
		}
		switch value, known := specifiers[next]; {
		case c == '%' && known:
			b.WriteString(value)
			i++
		case c == '%':
			return "", fmt.Errorf("the specifier %%%c stands for something of the unit, the host or the manager that no request names", next)
		case c == '$' && inCommand && next == '$':
			b.WriteByte('$')
			i++
		case c == '$' && inCommand && (next == '{' || i == 0 && next != 0):
			return "", errors.New("systemd replaces a variable")
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// words splits a line at white space, with the quotes and escapes of
// systemd.syntax(7).
func words(line string) ([]string, error) {
	var all []string
	var b strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i += escape(&b, line[i+1:])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				all = append(all, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q: a quote is not closed", line)
	}
	if inWord {
		all = append(all, b.String())
	}
	return all, nil
}

var escapes = map[byte]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 's': ' ',
	'\\': '\\', '"': '"', '\'': '\'',
}

// escape writes what stands after a backslash, and returns its length. What is no
// escape stands for itself, backslash included, as PID 1 takes it after a warning.
func escape(b *strings.Builder, rest string) int {
	if c, ok := escapes[rest[0]]; ok {
		b.WriteByte(c)
		return 1
	}
	if rest[0] == 'x' && len(rest) >= 3 {
		if c, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
			b.WriteByte(byte(c))
			return 3
		}
	}
	b.WriteByte('\\')
	b.WriteByte(rest[0])
	return 1
}
