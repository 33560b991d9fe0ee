// SPDX-License-Identifier: MPL-2.0

package directive

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// parser reads the lines of a directive, each without white space around it.
type parser func(lines []string) ([]Value, error)

func value(name string, v any) Value { return Value{Name: name, Value: dbus.MakeVariant(v)} }

// only is a directive's one value.
func only(name string, v any) []Value { return []Value{value(name, v)} }

// scalar is a directive of one value, of which the last line counts.
func scalar[T any](bus string, read func(string) (T, error)) parser {
	return func(lines []string) ([]Value, error) {
		text := lines[len(lines)-1]
		if text == "" {
			return nil, nil
		}
		v, err := read(text)
		if err != nil {
			return nil, err
		}
		return only(bus, v), nil
	}
}

// list is a directive whose lines are words that add up.
func list(bus string, read func(string) (string, error)) parser {
	return func(lines []string) ([]Value, error) {
		var all []string
		for _, word := range words(lines) {
			w, err := read(word)
			if err != nil {
				return nil, err
			}
			all = append(all, w)
		}
		if all == nil {
			return nil, nil
		}
		return only(bus, all), nil
	}
}

// items is a directive whose lines are one item each, and add up.
func items[T any](bus string, read func(string) ([]T, error)) parser {
	return func(lines []string) ([]Value, error) {
		var all []T
		for _, line := range since(lines) {
			item, err := read(line)
			if err != nil {
				return nil, err
			}
			all = append(all, item...)
		}
		if all == nil {
			return nil, nil
		}
		return only(bus, all), nil
	}
}

// since are the lines after the last empty one.
func since(lines []string) []string {
	for i, line := range slices.Backward(lines) {
		if line == "" {
			return lines[i+1:]
		}
	}
	return lines
}

func words(lines []string) []string {
	var all []string
	for _, line := range since(lines) {
		all = append(all, strings.Fields(line)...)
	}
	return all
}

// parseBoolean takes what systemd's own does (basic/parse-util.c).
func parseBoolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, errors.New("is neither yes nor no")
}

func boolean(bus string) parser { return scalar(bus, parseBoolean) }

// oneOf is a word of a fixed set. If yes is among them, so are the other words
// for a truth value.
func oneOf(known ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if slices.Contains(known, text) {
			return text, nil
		}
		if b, err := parseBoolean(text); err == nil && slices.Contains(known, "yes") {
			return map[bool]string{true: "yes", false: "no"}[b], nil
		}
		return "", fmt.Errorf("is not one of %s%s", strings.Join(known, ", "), didYouMean(text, slices.Values(known)))
	}
}

func enum(bus string, known ...string) parser { return scalar(bus, oneOf(known...)) }

// numbered is a word that stands for a number, or with alsoNumbers the number.
func numbered(bus string, alsoNumbers bool, numbers map[string]int32) parser {
	names := make([]string, 0, len(numbers))
	for name := range numbers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(numbers[a] - numbers[b]) })
	return scalar(bus, func(text string) (int32, error) {
		if n, ok := numbers[text]; ok {
			return n, nil
		}
		if n, err := parseInt(0, 191)(text); err == nil && alsoNumbers && slices.ContainsFunc(names, func(s string) bool { return numbers[s] == n }) {
			return n, nil
		}
		return 0, fmt.Errorf("is not one of %s", strings.Join(names, ", "))
	})
}

// orExtended is a truth value, which every systemd takes, or one of some words,
// which go to another property.
func orExtended(bus, extended string, version int, more ...string) parser {
	return func(lines []string) ([]Value, error) {
		text := lines[len(lines)-1]
		if slices.Contains(more, text) {
			v := value(extended, text)
			v.Since = version
			return []Value{v}, nil
		}
		if text == "" {
			return nil, nil
		}
		b, err := parseBoolean(text)
		if err != nil {
			return nil, fmt.Errorf("is not one of yes, no, %s", strings.Join(more, ", "))
		}
		return only(bus, b), nil
	}
}
