# SPDX-License-Identifier: MPL-2.0
#
# A host for web services: programs that jobs bring along, and the host's nginx, each
# with the network of the host.

version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

# Services of the jobs themselves, each under a uid of its own. They may listen on
# ports below 1024, and their authors may look into them.
rule "services" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]
  sessions    = true

  capabilities = ["CAP_NET_BIND_SERVICE"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "4GiB"
    tasks_max  = 2048
  }
}

# The host's nginx, with a configuration that the job brings along, as www-data.
# Other arguments, and so other configurations, it does not get.
rule "nginx" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]

  exec {
    paths = ["/usr/sbin/nginx"]
  }

  args {
    each = ["-e", "stderr", "-c", "/local/*", "-g", "daemon off;"]
  }

  run_as {
    users        = ["www-data"]
    system_users = true
  }

  limits {
    memory_max = "1GiB"
  }

  quotas {
    units = 4
  }
}
