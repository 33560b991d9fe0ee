version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "-.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}
