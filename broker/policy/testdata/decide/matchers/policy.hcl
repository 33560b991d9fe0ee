# What a rule matches beside program, user and limits, and what never allows.
version = 1

client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"
  slice       = "brokerd-nomad.slice"
  alloc_root  = "/var/lib/nomad/alloc"
  max_units   = 1000
}

rule "labels" {
  client      = "nomad"
  log_drivers = ["fds"]
  sessions    = true
  rootfs      = ["minimal", "host"]
  devices     = ["/dev/fuse"]
  labels {
    NAMESPACE = ["prod", "prod-*"]
    TASK_NAME = ["*"]
  }
  exec {
    under = ["/local", "/usr/bin"]
  }
  run_as {
    dynamic_user = true
    users        = ["app"]
  }
  directives {
    classes = ["resource", "priority"]
  }
}

rule "args" {
  client      = "nomad"
  log_drivers = ["fds"]
  args {
    first = ["/local/*.py", "--version"]
    each  = ["-?", "--in=/local/*"]
  }
  exec {
    paths = ["/usr/bin/python3"]
  }
  run_as {
    dynamic_user = true
  }
}

rule "no-args" {
  client      = "nomad"
  log_drivers = ["fds"]
  args {
    none = true
  }
  exec {
    paths = ["/usr/bin/true"]
  }
  run_as {
    dynamic_user = true
  }
}

rule "offline" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["none"]
  profiles    = ["default", "network-off"]
  exec {
    paths = ["/usr/bin/sort"]
  }
  run_as {
    dynamic_user = true
  }
}

rule "namespace" {
  client      = "nomad"
  log_drivers = ["fds"]
  network     = ["/run/netns/web"]
  profiles    = ["default", "network-off"]
  exec {
    paths = ["/usr/bin/netstat"]
  }
  run_as {
    dynamic_user = true
  }
}

rule "cpu" {
  client      = "nomad"
  log_drivers = ["fds"]
  exec {
    paths = ["/usr/bin/make"]
  }
  run_as {
    dynamic_user = true
  }
  limits {
    cpu_percent = 150
    cpu_weight  = 200
  }
}

never "shells" {
  exec {
    paths = ["/usr/bin/bash"]
    under = ["/usr/bin/secret"]
  }
}

never "eval" {
  client = "nomad"
  args {
    any = ["--eval*"]
  }
}

never "app-in-prod-2" {
  users = ["app"]
  labels {
    NAMESPACE = ["prod-2"]
  }
}

never "priority" {
  directives {
    classes = ["priority"]
    names   = ["OOMScoreAdjust"]
  }
}

never "sessions-in-prod-3" {
  sessions = true
  labels {
    NAMESPACE = ["prod-3"]
  }
}

never "untrusted" {
  profiles = ["trusted"]
}

never "host-in-prod-4" {
  rootfs = ["host"]
  labels {
    NAMESPACE = ["prod-4"]
  }
}

never "fuse-in-prod-5" {
  devices = ["/dev/fuse", "/dev/kvm"]
  labels {
    NAMESPACE = ["prod-5"]
  }
}
