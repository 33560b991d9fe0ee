# SPDX-License-Identifier: MPL-2.0
#
# For jobs that come from raw_exec or exec: any program of the host, with few limits,
# but each under a uid of its own or as one named user, and never as root. Make it
# narrower once the jobs run: systemd-brokerd policy suggest shows what they use.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "as-before" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"]
  profiles    = ["default", "trusted"]
  sessions    = true

  exec {
    any = true
  }

  run_as {
    dynamic_user = true
    users        = ["www-data"]
    system_users = true
  }

  directives {
    classes = ["resource"]
  }

  limits {
    memory_unlimited = true
    tasks_max        = 65536
  }
}
