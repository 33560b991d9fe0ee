// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// boxes plots one series for each subject: median, quartiles, extremes.
func (d *document) boxes(suffix, title, measure, parameter string, subjects []string, scale float64, unit string) {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, unit
	p.Y.Min = 0
	var names []string
	for _, s := range subjects {
		var values plotter.Values
		for _, v := range d.series[key{measure, s, parameter}] {
			values = append(values, v*scale)
		}
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		box, err := plotter.NewBoxPlot(vg.Points(28), float64(len(names)), values)
		if err != nil {
			d.fail(err)
			return
		}
		p.Add(box)
		names = append(names, s)
	}
	if len(names) == 0 {
		return
	}
	p.NominalX(names...)
	d.save(p, suffix, title)
}

// curve is one line of a plot.
type curve struct{ name, measure, subject string }

// lines plots medians against a number.
func (d *document) lines(suffix, title, xLabel, yLabel string, scale float64, curves ...curve) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, xLabel, yLabel
	p.Y.Min, p.Legend.Top, p.Legend.Left = 0, true, true
	var all []any
	for _, c := range curves {
		x, y := d.points(c.measure, c.subject)
		var points plotter.XYs
		for i := range x {
			points = append(points, plotter.XY{X: x[i], Y: y[i] * scale})
		}
		slices.SortFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		if len(points) > 0 {
			all = append(all, c.name, points)
		}
	}
	if len(all) == 0 {
		return
	}
	if err := plotutil.AddLinePoints(p, all...); err != nil {
		d.fail(err)
		return
	}
	d.save(p, suffix, title)
}

func (d *document) save(p *plot.Plot, suffix, title string) {
	file := d.name + "-" + suffix + ".svg"
	d.fail(p.Save(6.5*vg.Inch, 3.5*vg.Inch, filepath.Join(d.dir, file)))
	fmt.Fprintf(&d.text, "![%s](%s)\n\n", strings.TrimSpace(title), file)
}

func (d *document) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
