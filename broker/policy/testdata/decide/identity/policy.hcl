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
  audiences = ["systemd-brokerd", "spare"]
  keys      = "/var/lib/systemd-brokerd-keys/jwks.json"
  keys_user = "other"
}

rule "prod" {
  client           = "nomad"
  log_drivers      = ["fds"]
  require_identity = true
  sessions         = true

  labels {
    NAMESPACE = ["prod"]
  }

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }
}
