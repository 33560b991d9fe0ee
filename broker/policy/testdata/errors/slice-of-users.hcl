version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "user-1000.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}
