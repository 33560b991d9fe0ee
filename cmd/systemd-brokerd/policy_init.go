// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/users"
)

const initAbout = `Usage: systemd-brokerd policy init [flags] >10-nomad.hcl

Prints a commented policy for this host to start from: jobs run the programs that
they bring along, and nothing of the host until you say so. Changes nothing.

Exit status: 0 it is printed, 2 this host's users cannot be read, or the command line is wrong.`

// starter is the policy; what depends on the host is filled in.
var starter = template.Must(template.New("starter").Parse(`# What the Nomad agent may have systemd-brokerd start on this host.
#
# A request is allowed if one single rule accepts all of it; what a rule does not
# mention it does not allow. No task runs as root, as the agent's own user, or in a
# group such as docker, disk or shadow, whatever is written here.
#
#   systemd-brokerd policy check      mistakes
#   systemd-brokerd policy explain    what it makes of a job
#   systemd-brokerd policy suggest    rules for what was denied

version = 1

# Who may ask: the user of the Nomad agent.{{if .Missing}}
# There is no user {{printf "%q" .User}} on this host yet: create it, or write the agent's.{{end}}
client "nomad" {
  user        = "{{.User}}"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "{{.AllocDir}}" # alloc_dir of the agent{{if .Guessed}}; not found here, correct it if it is elsewhere{{end}}
  max_units   = 1000
}

# Programs that jobs bring along, each under a uid of its own.
rule "task-binaries" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"] # fds: what nomad alloc logs shows
  sessions    = true                       # nomad alloc exec, script checks

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "{{.MemoryMax}}"
    tasks_max  = 4096
  }
}

# Programs of this host, for jobs of one namespace. With an interpreter a job can do
# all that its user can, unless args ties it to scripts.{{if .Programs}} This host has
# {{.Programs}}.{{end}}
#
# rule "host-tools" {
#   client      = "nomad"
#   log_drivers = ["fds"]
#
#   labels {
#     NAMESPACE = ["default"]
#   }
#
#   exec {
#     paths = ["{{.Example}}"]
#   }
#
#   args {
#     first = ["/local/*"]
#   }
#
#   run_as {
#     dynamic_user = true{{if .Users}}
#     # users = ["{{index .Users 0}}"] # of this host could be: {{range $i, $u := .Users}}{{if $i}}, {{end}}{{$u}}{{end}}
#     # system_users = true # if its uid is below 1000{{end}}
#   }
#
#   quotas {
#     units        = 20
#     memory_total = "8GiB"
#   }
# }

# With it a rule that says require_identity = true allows only tasks of which Nomad's
# servers say themselves that they are what they are called; docs/identity.md.
#
# identity "nomad" {
#   client    = "nomad"
#   audiences = ["systemd-brokerd"]
#   keys      = "/var/lib/systemd-brokerd-keys/jwks.json"
#   keys_user = "systemd-brokerd-keys"
# }

# Whatever rules are added: nobody gets ahead of the rest of the host.
never "priority" {
  directives {
    classes = ["priority"]
  }
}
`))

// starterHost is what the starter policy says of the host.
type starterHost struct {
	User, AllocDir, MemoryMax, Programs, Example string
	Missing, Guessed                             bool
	Users                                        []string
}

func policyInit(args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd policy init", initAbout, stderr)
	user := flags.String("user", "nomad", "user of the Nomad agent")
	asJSON := flags.Bool("json", false, "print JSON, with the policy as one text")
	alloc := flags.String("alloc-dir", "", "alloc_dir of the agent (default: found among the usual ones)")
	if err := parse(flags, args); err != nil {
		return err
	}
	if strings.ContainsAny(*user+*alloc, "\"\\$%{}\n") {
		return mistake(errors.New("a user or a directory with such characters cannot be written in a policy"))
	}
	names, err := hostUsers()
	if err != nil {
		return mistake(err)
	}
	text, err := starterPolicy(describeHost(*user, *alloc, names))
	if err != nil {
		return err
	}
	if *asJSON {
		return encodeJSON(stdout, map[string]string{"policy": string(text)})
	}
	_, err = stdout.Write(text)
	return err
}

func starterPolicy(h starterHost) ([]byte, error) {
	var text bytes.Buffer
	if err := starter.Execute(&text, h); err != nil {
		return nil, fmt.Errorf("cannot write the policy: %w", err)
	}
	return text.Bytes(), nil
}

func describeHost(user, alloc string, names *users.Users) starterHost {
	h := starterHost{User: user, AllocDir: alloc, MemoryMax: "16GiB", Example: "/usr/bin/python3"}
	_, err := names.User(user)
	h.Missing = errors.Is(err, policy.ErrUnknown)
	if h.AllocDir == "" {
		usual := []string{"/var/lib/nomad/alloc", "/opt/nomad/data/alloc", "/opt/nomad/alloc"}
		i := slices.IndexFunc(usual, isDir)
		h.Guessed = i < 0
		h.AllocDir = usual[max(i, 0)]
	}
	var programs []string
	for _, name := range policy.Interpreters {
		if path := "/usr/bin/" + name; exists(path) {
			programs = append(programs, path)
		}
	}
	h.Programs = strings.Join(programs, ", ")
	for _, name := range []string{"www-data", "nginx", "postgres", "redis", "app"} {
		if _, err := names.User(name); err == nil {
			h.Users = append(h.Users, name)
		}
	}
	return h
}
