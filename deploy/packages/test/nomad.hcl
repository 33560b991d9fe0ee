# SPDX-License-Identifier: MPL-2.0
#
# The configuration of a node before the driver came; the rest is what an emulated
# machine without a network needs.
data_dir             = "/opt/nomad/data"
bind_addr            = "127.0.0.1"
disable_update_check = true

advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}

server {
  enabled          = true
  bootstrap_expect = 1
}

client {
  enabled           = true
  servers           = ["127.0.0.1"]
  network_interface = "lo"
  cpu_total_compute = 4000

  options = {
    "driver.denylist"      = "docker,exec,java,qemu,raw_exec"
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce,consul,vault,cni,bridge,plugins_cni"
  }
}
