// SPDX-License-Identifier: MPL-2.0

// Command report makes tables and plots of the CSV of a benchmark run:
//
//	report FIGURES.csv NAME DIRECTORY
//
// puts the figures into DIRECTORY/NAME.csv, in place of older ones of the same
// measures, and writes DIRECTORY/NAME.md and DIRECTORY/NAME-….svg of all that is there.
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: report FIGURES.csv NAME DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(file, name, dir string) error {
	fresh, err := readCSV(file)
	if err != nil {
		return err
	}
	all := filepath.Join(dir, name+".csv")
	old, err := readCSV(all)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	rows := merge(old, fresh)
	f, err := read(rows)
	if err != nil {
		return err
	}
	if err := writeCSV(all, rows); err != nil {
		return err
	}
	d := &document{figures: f, name: name, dir: dir}
	d.write()
	if d.err != nil {
		return d.err
	}
	return os.WriteFile(filepath.Join(dir, name+".md"), []byte(d.text.String()), 0o644)
}

func readCSV(file string) ([][]string, error) {
	text, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer text.Close() //nolint:errcheck // it was read
	return csv.NewReader(text).ReadAll()
}

func writeCSV(file string, rows [][]string) error {
	var text bytes.Buffer
	if err := csv.NewWriter(&text).WriteAll(rows); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// merge keeps of old what is of other measures than fresh. A measure is of one boot:
// ratios are of figures that were taken in turns.
func merge(old, fresh [][]string) [][]string {
	of := func(row []string) string {
		if row[0] == "machine" {
			return row[0] + " " + row[1]
		}
		return row[0]
	}
	again := make(map[string]bool)
	for _, row := range fresh {
		again[of(row)] = true
	}
	kept := slices.DeleteFunc(slices.Clone(old), func(row []string) bool { return again[of(row)] })
	return append(slices.Clone(fresh[:1]), append(kept, fresh[1:]...)...)
}

// key names a series of figures.
type key struct{ measure, subject, parameter string }

// figures are all of a run.
type figures struct {
	series  map[key]map[int]float64 // round -> value
	unit    map[string]string       // measure -> unit
	machine map[string]string
	order   []key
}

func read(rows [][]string) (*figures, error) {
	f := &figures{series: make(map[key]map[int]float64), unit: make(map[string]string), machine: make(map[string]string)}
	for i, row := range rows {
		if len(row) != 6 {
			return nil, fmt.Errorf("line %d has %d fields, want 6", i+1, len(row))
		}
		if i == 0 || row[0] == "machine" {
			f.machine[row[1]] = row[2]
			continue
		}
		k := key{row[0], row[1], row[2]}
		round, err := strconv.Atoi(row[3])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		v, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if f.series[k] == nil {
			f.series[k] = make(map[int]float64)
			f.order = append(f.order, k)
		}
		f.series[k][round] = v
		f.unit[row[0]] = row[5]
	}
	return f, nil
}

// parameters are those of a measure, in the order of the run; those that begin with
// the prefix.
func (f *figures) parameters(measure, subject string) (all []string) {
	for _, k := range f.order {
		if k.measure == measure && (subject == "" || k.subject == subject) {
			all = appendOnce(all, k.parameter)
		}
	}
	return all
}

func (f *figures) subjects(measure string) (all []string) {
	for _, k := range f.order {
		if k.measure == measure {
			all = appendOnce(all, k.subject)
		}
	}
	return all
}

func appendOnce(all []string, s string) []string {
	for _, old := range all {
		if old == s {
			return all
		}
	}
	return append(all, s)
}

// spread is a series in short.
type spread struct {
	n             int
	low, mid, top float64 // quartiles
}

func (f *figures) spread(k key) spread {
	var all []float64
	for _, v := range f.series[k] {
		all = append(all, v)
	}
	return spreadOf(all)
}

// ratio compares two series round by round: what they have in common, such as a
// machine that is busy for a while, drops out.
func (f *figures) ratio(a, b key) spread {
	var all []float64
	for round, v := range f.series[a] {
		if w, ok := f.series[b][round]; ok && w != 0 {
			all = append(all, v/w)
		}
	}
	return spreadOf(all)
}

func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1 || v <= -0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// seconds prints times in milliseconds below ten seconds.
func withUnit(v float64, unit string) string {
	if unit == "s" && v < 10 {
		return number(v*1000) + " ms"
	}
	return strings.TrimSpace(number(v) + " " + unit)
}
