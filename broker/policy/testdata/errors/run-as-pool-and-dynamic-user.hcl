version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

pool "tasks" {
  first = 2100000000
  count = 1000
}

rule "r" {
  client = "nomad"
  run_as {
    dynamic_user = true
    pool         = "tasks"
  }
}
