# SPDX-License-Identifier: MPL-2.0
#
# A host on which next to nothing is allowed, to begin with: jobs of one namespace run
# what they bring along, without a network, small, and nobody gets a shell beside them.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "own-programs" {
  client      = "nomad"
  log_drivers = ["fds"]
  profiles    = ["strict"] # no network, among others

  labels {
    NAMESPACE = ["default"]
  }

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "512MiB"
    tasks_max  = 64
    cpu_weight = 100
  }

  quotas {
    units             = 20
    memory_total      = "4GiB"
    starts_per_minute = 60
  }
}

# Stays in force when somebody adds a rule that says otherwise.
never "sessions" {
  sessions = true
}

never "more-rights" {
  directives {
    classes = ["identity", "network", "hostpath", "priority"]
  }
}
