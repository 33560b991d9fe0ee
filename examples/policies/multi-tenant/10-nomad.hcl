# SPDX-License-Identifier: MPL-2.0
#
# A host for several teams, each with a namespace of its own in Nomad. Which team a
# task belongs to is what the agent says: this keeps teams apart as far as the agent
# and its servers are honest.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "team-a" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]
  sessions    = true

  labels {
    NAMESPACE = ["team-a", "team-a-*"]
  }

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
    users        = ["app"] # the owner of the team's files on this host
  }

  quotas {
    units        = 50
    memory_total = "32GiB"
  }
}

rule "team-b" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["none"]

  labels {
    NAMESPACE = ["team-b"]
  }

  exec {
    under = ["/local"]
    paths = ["/usr/bin/python3"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "2GiB"
  }

  quotas {
    units             = 20
    memory_total      = "8GiB"
    starts_per_minute = 60
  }
}

# Whatever rules are added: the user of team A is not for the jobs of team B.
never "team-b-as-app" {
  users = ["app"]

  labels {
    NAMESPACE = ["team-b"]
  }
}
