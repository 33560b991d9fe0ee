// SPDX-License-Identifier: MPL-2.0

package directive

// row is a directive of one property of its own name.
func row(name, signature, summary string) *Directive {
	return &Directive{Name: name, Buses: []Bus{{name, signature}}, Summary: summary}
}

// since is the directive with the first systemd that has it.
func (d *Directive) since(systemd int) *Directive {
	d.Since = systemd
	return d
}

// sets is the directive with the properties it is spread over.
func (d *Directive) sets(buses ...Bus) *Directive {
	d.Buses = buses
	return d
}

// live is the directive as one that can be changed while the unit runs.
func (d *Directive) live() *Directive {
	d.Live = true
	return d
}

// refused are directives that no policy can offer, for the same reason.
func refused(class Class, reason string, rows ...*Directive) []*Directive {
	for _, d := range rows {
		d.Class, d.Refused = class, reason
	}
	return rows
}

// offered are directives of one class that a policy can offer.
func offered(class Class, rows ...*Directive) []*Directive {
	for _, d := range rows {
		d.Class = class
	}
	return rows
}

// offer is a directive with its format.
func offer(name, summary string, f format) *Directive {
	return &Directive{Name: name, Summary: summary, format: f}
}

// scaledBuses are the properties of a limit that may be a share.
func scaledBuses(name string) []Bus { return []Bus{{name, "t"}, {name + "Scale", "u"}} }
