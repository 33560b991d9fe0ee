version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "nomad.service"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}
