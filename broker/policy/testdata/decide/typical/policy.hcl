version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

client "other" {
  uid         = 992
  unit_prefix = "other"
  slice       = "brokerd-other.slice"
  alloc_root  = "/srv/other"
  max_units   = 1
}

rule "task-binaries" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]

  exec {
    under = ["/local", "/alloc"]
  }

  run_as {
    dynamic_user = true
  }
}

rule "host-tools" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    under = ["/usr/bin", "/local"]
    paths = ["/usr/sbin/foo", "/opt/agent/run"]
  }

  run_as {
    users        = ["www-data", "app"]
    system_users = true
  }

  limits {
    memory_max       = "2GiB"
    memory_unlimited = false
    tasks_max        = 512
  }
}
