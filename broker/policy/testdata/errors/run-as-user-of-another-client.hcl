version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

client "other" {
  user        = "other"
  unit_prefix = "other"
  slice       = "brokerd-other.slice"
  alloc_root  = "/srv/other"
  max_units   = 1000
}

rule "r" {
  client = "nomad"
  run_as {
    users = ["other"]
  }
}
