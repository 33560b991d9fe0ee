// SPDX-License-Identifier: MPL-2.0

package main

import (
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat"
)

func spreadOf(all []float64) spread {
	if len(all) == 0 {
		return spread{}
	}
	slices.Sort(all)
	at := func(p float64) float64 { return stat.Quantile(p, stat.LinInterp, all, nil) }
	mid := all[len(all)/2]
	if len(all)%2 == 0 {
		mid = (all[len(all)/2-1] + all[len(all)/2]) / 2
	}
	s := spread{len(all), mid, mid, mid}
	if len(all) > 3 {
		s.low, s.top = at(0.25), at(0.75)
	} else {
		s.low, s.top = all[0], all[len(all)-1]
	}
	return s
}

// line is a straight line through the medians of a measure against its parameter, a
// number of units.
type line struct {
	base, slope, r2 float64
	n               int
}

func (f *figures) points(measure, subject string) (x, y []float64) {
	for _, p := range f.parameters(measure, subject) {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil {
			continue
		}
		x, y = append(x, n), append(y, f.spread(key{measure, subject, p}).mid)
	}
	return x, y
}

func (f *figures) fit(measure, subject string) line {
	x, y := f.points(measure, subject)
	if len(x) < 3 {
		return line{n: len(x)}
	}
	base, slope := stat.LinearRegression(x, y, nil, false)
	return line{base, slope, stat.RSquared(x, y, nil, base, slope), len(x)}
}
