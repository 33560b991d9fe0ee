# SPDX-License-Identifier: MPL-2.0
#
# What the examples need beyond the policy that is installed first. Each rule names the
# example it is for; copy what you want into a file of /etc/systemd-brokerd/policy.d.
version = 1

# python.nomad.hcl: one program of the host, as a user that nobody else is.
rule "example-python" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    paths = ["/usr/bin/python3"]
  }

  args {
    any = true # also programs in the arguments: each run has a uid that nobody else has
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "256MiB"
    tasks_max  = 64
  }
}

# strict.nomad.hcl: programs that jobs bring, in a narrower sandbox.
rule "example-strict" {
  client      = "nomad"
  log_drivers = ["fds"]
  profiles    = ["strict"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }
}

# limits.nomad.hcl: programs that jobs bring, with limits of their own choice.
rule "example-limits" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
  }

  directives {
    classes = ["resource"]
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 64
  }
}

# volume.nomad.hcl: programs that jobs bring, as a user of the host whose data they
# keep. Whoever may submit jobs can do to /srv/data what this user can.
rule "example-volume" {
  client      = "nomad"
  log_drivers = ["fds"]

  exec {
    under = ["/local"]
  }

  volumes {
    read_write = ["/srv/data"]
  }

  run_as {
    users        = ["www-data"]
    system_users = true # its uid is below 1000
  }
}

# image.nomad.hcl: a program of an image, which only root can change.
rule "example-image" {
  client      = "nomad"
  log_drivers = ["fds"]
  rootfs      = ["image"]
  images      = ["/srv/images"]

  exec {
    paths = ["/bin/sh"]
  }

  run_as {
    dynamic_user = true
  }
}
