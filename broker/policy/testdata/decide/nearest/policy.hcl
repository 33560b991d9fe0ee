version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "a" {
  client      = "nomad"
  log_drivers = ["journal"]

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

rule "b" {
  client      = "nomad"
  log_drivers = ["journal"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "1KiB"
  }
}

rule "c" {
  client      = "nomad"
  log_drivers = ["journal"]

  exec {
    under = ["/alloc"]
  }

  run_as {
    dynamic_user = true
    users = ["app"]
  }
}
