version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "anything" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"]
  sessions    = true

  exec {
    any = true
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_unlimited = true
    tasks_max        = 100
  }
}
