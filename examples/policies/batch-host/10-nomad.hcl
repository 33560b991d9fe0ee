# SPDX-License-Identifier: MPL-2.0
#
# A host for batch jobs: scripts that jobs bring along, run by the host's interpreters,
# without a network, within a share of the machine.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "scripts" {
  client      = "nomad"
  log_drivers = ["fds"]
  profiles    = ["network-off"]

  # The first argument is the script, so that "-c" is out; the others are the script's.
  exec {
    paths = ["/usr/bin/python3", "/usr/bin/perl"]
  }

  args {
    first = ["/local/*"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max  = "8GiB"
    cpu_percent = 400
  }

  quotas {
    units             = 32
    memory_total      = "48GiB"
    starts_per_minute = 120
  }
}
