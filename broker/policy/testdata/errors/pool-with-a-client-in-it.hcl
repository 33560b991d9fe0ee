version = 1

client "nomad" {
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
  uid         = 2100000001
}

pool "tasks" {
  first = 2100000000
  count = 1000
}
