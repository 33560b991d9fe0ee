# SPDX-License-Identifier: MPL-2.0
#
# What the driver and an agent without privileges need, for /etc/nomad.d. Of two
# files there that set data_dir the later one counts, and nomad.hcl comes before
# this: a directory that a root agent has used does not do.
data_dir   = "/var/lib/nomad"
plugin_dir = "/usr/libexec/nomad/plugins"

client {
  # The default lies beside data_dir, where user nomad may not write.
  alloc_mounts_dir = "/var/lib/nomad/alloc_mounts"
}

plugin "nomad-systemd-driver" {
}

# Without it Nomad does not ask for statistics of tasks.
telemetry {
  publish_allocation_metrics = true
}
