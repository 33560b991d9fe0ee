// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"

	"nomad-systemd-driver/broker/directive"
)

func directivesOf(r *reader) directivesMatcher {
	var m directivesMatcher
	if r == nil {
		return m
	}
	for _, v := range r.list("classes") {
		c := directive.Class(v.text)
		if !slices.Contains(directive.Classes(), c) {
			r.fail(v.at, "%q is not a class of directives; known: %v", v.text, directive.Classes())
		}
		if c != directive.Priority && !slices.ContainsFunc(directive.All(), func(d *directive.Directive) bool { return d.Class == c && d.Refusal() == "" }) {
			r.fail(v.at, "no policy can allow directives of class %q; see systemd-brokerd directives --class %s", v.text, v.text)
		}
		m.classes = append(m.classes, c)
	}
	for _, v := range r.list("names") {
		d, err := known(v.text)
		switch {
		case err != nil:
			r.fail(v.at, "%v", err)
		case d.Refusal() != "":
			r.fail(v.at, "no policy can allow %s: %s", d.Name, d.Refusal())
		}
		m.names = append(m.names, v.text)
	}
	m.named = setOf(m.names)
	m.values = directiveValues(r.open("values"))
	if len(m.classes)+len(m.names)+len(m.values) == 0 {
		r.fail(r.head, "%s says nothing; write classes, names or values, or delete it", r.title)
	}
	return m
}

// directiveValues reads a block whose attributes are names of directives, each with the
// lines that are meant.
func directiveValues(r *reader) map[string][]string {
	if r == nil {
		return nil
	}
	all := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(r.body.Attributes)) {
		d, err := known(name)
		if err == nil && d.Refusal() != "" {
			err = fmt.Errorf("no policy can allow %s: %s", name, d.Refusal())
		}
		if err != nil {
			r.fail(spanOf(r.body.Attributes[name].NameRange), "%v", err)
			return nil
		}
		for _, v := range r.list(name) {
			if _, err := d.Settings([]string{v.text}); err != nil {
				r.fail(v.at, "%v", err)
			}
			all[name] = append(all[name], v.text)
		}
	}
	if len(all) == 0 {
		r.fail(r.head, `%s is empty; write a directive with the values that are meant, such as Nice = ["0", "5"], or delete it`, r.title)
	}
	return all
}
