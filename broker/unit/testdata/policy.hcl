version = 1
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 10
}
rule "all" {
  client = "nomad"
  exec {
    any = true
  }
  run_as {
    dynamic_user = true
    users         = ["alice"]
    session_users = ["alice"]
    groups        = ["media"]
  }

  directives {
    classes = ["resource"]
  }
  sessions    = true
  log_drivers = ["fds", "journal", "none"]
  limits {
    memory_unlimited = true
    tasks_max        = 512
  }
}
