// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"nomad-systemd-driver/broker"
	"nomad-systemd-driver/broker/policy"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// maxRequests bounds a file of requests.
const maxRequests = 64 << 20

// asked is one request, with what was decided on it if it is from the journal.
type asked struct {
	spec *brokerv1.UnitSpec
	was  *recorded
}

// readRequests reads requests in JSON, one after the other, as
// "nomad-systemd-driver requests" prints them, or decisions as "journalctl -o json"
// does; "-" is standard input. The error for a job is a [jobError].
func readRequests(path string, stdin io.Reader) ([]asked, error) {
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the user of the command names it
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // nothing was written
		stdin = f
	}
	if isJobFile(path) {
		return nil, &jobError{path: path}
	}
	var all []asked
	records := 0
	for d := json.NewDecoder(io.LimitReader(stdin, maxRequests)); ; {
		var text json.RawMessage
		err := d.Decode(&text)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: request %d is not JSON: %w; a job file is known by its name, *.hcl or *.nomad", path, len(all)+1, err)
		}
		if isRecord(text) {
			records++
			if r, state, err := readRecord(text); err == nil && state == decision {
				all = append(all, asked{r.spec, &r})
			}
			continue
		}
		spec, err := readSpec(text)
		if errors.Is(err, errJob) && len(all)+records == 0 && !d.More() {
			return nil, &jobError{path, text}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: request %d: %w", path, len(all)+1, err)
		}
		all = append(all, asked{spec: spec})
	}
	if len(all) == 0 && records > 0 {
		return nil, fmt.Errorf("%s: none of the %d records is a decision of systemd-brokerd with the whole request", path, records)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no request; nomad-systemd-driver requests makes them of a job", path)
	}
	return all, nil
}

var errJob = errors.New("this is a job, of which there can be one, and nothing beside it")

// isRecord tells a record of the journal, whose fields are in capitals, from a request.
func isRecord(text []byte) bool {
	var record struct {
		Cursor *string `json:"__CURSOR"`
		Unit   *string `json:"_SYSTEMD_UNIT"`
	}
	return json.Unmarshal(text, &record) == nil && (record.Cursor != nil || record.Unit != nil)
}

// readSpec reads one request. What is missing in a recorded one, and policy does
// not look at, is filled in.
func readSpec(text []byte) (*brokerv1.UnitSpec, error) {
	spec := &brokerv1.UnitSpec{}
	if err := protojson.Unmarshal(text, spec); err != nil {
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) == nil && (fields["Job"] != nil || fields["TaskGroups"] != nil) {
			return nil, errJob
		}
		return nil, fmt.Errorf("this is not a request: %w", err)
	}
	if l := spec.GetLogging(); l.GetDriver() == brokerv1.Logging_DRIVER_FDS && l.GetFdToken() == "" {
		l.FdToken = strings.Repeat("0", 64)
	}
	return spec, nil
}

// requestOf is spec as the client would ask the policy.
func requestOf(spec *brokerv1.UnitSpec, c *policy.Client) (*policy.Request, error) {
	return broker.Request(spec, c)
}

// clientOf is the client with this name; without a name the policy must have one only.
func clientOf(p *policy.Policy, name string) (*policy.Client, error) {
	all := p.Clients()
	var names []string
	for _, c := range all {
		if c.Name == name || name == "" && len(all) == 1 {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if name == "" {
		return nil, fmt.Errorf("the policy has %d clients; choose one with --client: %s", len(all), strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("the policy has no client %q; it has %s", name, strings.Join(names, ", "))
}

// recordedRequest is what a recorded decision was about.
func recordedRequest(rec recorded, c *policy.Client) (*policy.Request, error) {
	if rec.session {
		if rec.rule == "" {
			return nil, errors.New("a session of which an older systemd-brokerd did not record the rule of the unit")
		}
		return broker.SessionRequest(rec.spec, c, rec.rule)
	}
	return requestOf(rec.spec, c)
}
