version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "web" {
  client = "nomad"
  run_as {
    dynamic_user = true
    users = ["app", "nobody"]
  }
}
