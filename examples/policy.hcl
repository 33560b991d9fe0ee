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
