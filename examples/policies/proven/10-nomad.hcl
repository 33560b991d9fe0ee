# SPDX-License-Identifier: MPL-2.0
#
# Production and everything else on one host: what runs as production must prove to be it,
# whatever the agent says. docs/identity.md has what it takes on the host and in jobs.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 200
}

# The package systemd-brokerd-keys makes the user, and its timer keeps the file fresh.
identity "nomad" {
  client    = "nomad"
  audiences = ["systemd-brokerd"]
  keys      = "/var/lib/systemd-brokerd-keys/jwks.json"
  keys_user = "systemd-brokerd-keys"
}

# The production database's data, for the jobs of one namespace and one group.
rule "production" {
  client           = "nomad"
  log_drivers      = ["fds", "journal"]
  require_identity = true

  labels {
    NAMESPACE  = ["prod"]
    GROUP_NAME = ["db", "db-*"]
  }

  exec {
    under = ["/local"]
  }

  run_as {
    users = ["app"]
  }

  volumes {
    read_write = ["/srv/db"]
  }
}

# All others, without proof: uids of their own, and nothing of the host.
rule "others" {
  client      = "nomad"
  log_drivers = ["fds"]
  sessions    = true

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "1GiB"
  }
}
