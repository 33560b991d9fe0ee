# Server and client in one agent; not -dev mode, so that state survives a restart.
data_dir   = "/var/lib/nomad"
plugin_dir = "/usr/libexec/nomad/plugins"
bind_addr  = "127.0.0.1"
log_level  = "INFO"

disable_update_check = true
leave_on_terminate   = false
leave_on_interrupt   = false

# On a machine with only a loopback address Nomad finds nothing to advertise.
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}

server {
  enabled           = true
  bootstrap_expect  = 1
  min_heartbeat_ttl = "60s"
  heartbeat_grace   = "60s"

  default_scheduler_config {
    memory_oversubscription_enabled = true
  }
}

client {
  enabled           = true
  servers           = ["127.0.0.1:4647"]
  network_interface = "lo"

  # The default lies beside data_dir, where user nomad may not write.
  alloc_mounts_dir = "/var/lib/nomad/alloc_mounts"

  host_volume "opt" {
    path = "/opt"
  }

  # For examples/volume.nomad.hcl.
  host_volume "data" {
    path = "/srv/data"
  }

  # An emulated CPU has no frequency Nomad could believe.
  cpu_total_compute = 4000

  options = {
    "driver.denylist"      = "docker,exec,java,qemu,raw_exec"
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce,consul,vault,cni,bridge,plugins_cni"
  }
}

telemetry {
  # Without it Nomad does not ask a driver for statistics.
  publish_allocation_metrics = true
}

consul {
  auto_advertise   = false
  client_auto_join = false
  server_auto_join = false
}

plugin "nomad-systemd-driver" {
}
