version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "all-parts" {
  client = "nomad"
  log_drivers = ["fds"]

  exec {
    paths = ["/local/all"]
  }

  run_as {
    dynamic_user = true
    users = ["app"]
  }
}

rule "no-exec" {
  client = "nomad"
  log_drivers = ["fds"]

  run_as {
    dynamic_user = true
    users = ["app"]
  }
}

rule "no-run-as" {
  client = "nomad"
  log_drivers = ["fds"]

  exec {
    paths = ["/local/no-run-as"]
  }
}

rule "no-log-drivers" {
  client = "nomad"

  exec {
    paths = ["/local/no-log-drivers"]
  }

  run_as {
    dynamic_user = true
    users = ["app"]
  }
}

rule "nothing" {
  client = "nomad"
}
