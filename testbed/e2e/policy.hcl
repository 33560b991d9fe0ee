# SPDX-License-Identifier: MPL-2.0
# What the end-to-end tests are allowed beyond the starter policy.
version = 1

rule "e2e-host-programs" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"]
  sessions    = true

  exec {
    under = ["/usr/libexec/e2e"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 256
  }
}

rule "e2e-of-alice" {
  client      = "nomad"
  log_drivers = ["fds", "journal"]

  exec {
    under = ["/usr/libexec/e2e"]
  }

  run_as {
    users = ["alice"]
  }

  limits {
    memory_unlimited = true
    tasks_max        = 256
  }
}

# Scripts that the tests write into local/, under any profile and with many
# directives.
rule "e2e-scripts" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"]
  sessions    = true
  profiles    = ["default", "strict", "network-off", "trusted"]

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true
    users        = ["alice"]
    groups       = ["audio", "video"]
  }

  volumes {
    read_only  = ["/srv/e2e/read"]
    read_write = ["/opt"]
  }

  directives {
    classes = ["safe", "resource", "network"]
    names   = ["AmbientCapabilities", "CapabilityBoundingSet"]
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 256
  }
}

# More of the host than its /usr.
rule "e2e-views" {
  client      = "nomad"
  log_drivers = ["fds", "none"]
  rootfs      = ["minimal", "host", "image"]
  images      = ["/srv/e2e/images"]
  devices     = ["/dev/e2e"]

  exec {
    under = ["/local"]
    paths = ["/hello"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "1GiB"
  }
}

# Its own program, so that no other rule allows what this one refuses.
rule "e2e-matched" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["none"]

  labels {
    NAMESPACE = ["def*"]
    JOB_ID    = ["policymatchers-*"]
    TASK_NAME = ["task"]
  }

  args {
    first = ["tick", "who"]
    each  = ["/local/*"]
  }

  exec {
    paths = ["/usr/libexec/e2e-matched"]
  }

  run_as {
    dynamic_user = true
  }

  limits {
    memory_max = "64MiB"
    cpu_weight = 100
  }

  quotas {
    units        = 1
    memory_total = "64MiB"
  }
}

never "e2e-forbidden" {
  args {
    any = ["--forbidden=*"]
  }
}

rule "e2e-own-manager" {
  client      = "nomad"
  log_drivers = ["fds"]
  rootfs      = ["minimal", "host"]
  sessions    = true

  exec {
    paths = ["/usr/libexec/e2e-manager/hello"]
  }

  run_as {
    users         = ["alice", "bob"]
    session_users = ["alice", "bob"]
  }

  limits {
    memory_max = "1GiB"
    tasks_max  = 256
  }
}
