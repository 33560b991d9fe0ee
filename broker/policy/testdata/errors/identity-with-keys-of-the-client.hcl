version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 10
}

identity "nomad" {
  client    = "nomad"
  audiences = ["systemd-brokerd"]
  keys      = "/var/lib/nomad/alloc/jwks.json"
}
