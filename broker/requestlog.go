// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"nomad-systemd-driver/broker/directive"
	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// disclosure is where a field of a request may be written to.
type disclosure int

const (
	// secret: nowhere. What the table does not name is secret too.
	secret disclosure = iota
	// kept: to a file of root's below the broker's directory, as args are, which
	// every user of the host can see while the unit runs, but no longer.
	kept
	// audited: to the journal.
	audited
)

// disclosures says it of each field of UnitSpec, by its path.
var disclosures = map[string]disclosure{
	"id":                          audited,
	"name":                        audited,
	"labels":                      audited,
	"command":                     audited,
	"args":                        kept,
	"env":                         secret, // but see recordable
	"user":                        audited,
	"directories.alloc":           audited,
	"directories.local":           audited,
	"directories.secrets":         audited,
	"resources.cpu_weight":        audited,
	"resources.cpus":              audited,
	"resources.memory_low_bytes":  audited,
	"resources.memory_max_bytes":  audited,
	"resources.memory_unlimited":  audited,
	"resources.tasks_max":         audited,
	"logging.driver":              audited,
	"logging.fd_token":            secret,
	"logging.rate_limit_burst":    audited,
	"logging.rate_limit_interval": audited,
	"working_directory":           audited,
	"profile":                     audited,
	"directives.name":             audited,
	"directives.values":           audited, // but see withoutRefused
	"volumes.source":              audited,
	"volumes.destination":         audited,
	"volumes.read_only":           audited,
	"volumes.image":               audited,
	"rootfs.kind":                 audited,
	"rootfs.image":                audited,
	"rootfs.verity_root_hash":     audited,
	"rootfs.verity_signature":     audited,
	"devices.path":                audited,
	"devices.permissions":         audited,
	"network_namespace":           audited,
	"group":                       audited,
	"supplementary_groups":        audited,
	"user_manager":                audited,
	"credentials.name":            audited,
	"credentials.source":          audited,
	"credentials.content":         secret,
	"identity_token":              secret, // but see recordable
}

// maxRequestField bounds BROKER_REQUEST.
const maxRequestField = 64 << 10

// auditable is spec as BROKER_REQUEST: JSON that a UnitSpec can be read from,
// without all that may be secret. Of a request that is too large the values of
// the directives are left out, and then all; complete is false.
func auditable(spec *brokerv1.UnitSpec, r *policy.Request) (text string, complete bool) {
	shown, err := disclosed(spec, audited)
	if err != nil {
		return "", false
	}
	withoutRefused(shown)
	recordable(shown, r)
	text, err = compactJSON(shown)
	if err == nil && len(text) <= maxRequestField {
		return text, true
	}
	for _, d := range shown.GetDirectives() {
		d.Values = nil
	}
	if text, err = compactJSON(shown); err != nil || len(text) > maxRequestField {
		return "", false
	}
	return text, false
}

// disclosed is a copy of spec with what may be written where at least says.
func disclosed(spec *brokerv1.UnitSpec, least disclosure) (*brokerv1.UnitSpec, error) {
	c, ok := proto.Clone(spec).(*brokerv1.UnitSpec)
	if !ok {
		return nil, fmt.Errorf("cannot copy a %T", spec)
	}
	redact(c.ProtoReflect(), "", least)
	return c, nil
}

func redact(m protoreflect.Message, at string, least disclosure) {
	m.SetUnknown(nil)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := at + string(f.Name())
		switch allowed, named := disclosures[path]; {
		case named && allowed >= least:
		case named, f.Message() == nil, f.IsMap():
			m.Clear(f)
		case f.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message(), path+".", least)
			}
		default:
			redact(v.Message(), path+".", least)
		}
		return true
	})
}

// withoutRefused leaves the values out of directives that no policy can allow:
// Environment= and SetCredential= are among them, and are meant for secrets.
func withoutRefused(spec *brokerv1.UnitSpec) {
	for _, d := range spec.GetDirectives() {
		if refusedDirective(d.GetName()) {
			d.Values = nil
		}
	}
}

func refusedDirective(name string) bool {
	d, ok := directive.Lookup(name)
	return !ok || d.Refusal() != ""
}

// compactJSON is m on one line, always the same: protojson varies its spaces.
func compactJSON(m proto.Message) (string, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return "", err
	}
	return out.String(), nil
}
