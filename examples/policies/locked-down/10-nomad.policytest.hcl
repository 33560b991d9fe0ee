# SPDX-License-Identifier: MPL-2.0
#
# systemd-brokerd policy test --policy examples/policies/locked-down

version = 1

test "a program of the job, without a network" {
  command = "/local/run"
  allow   = "own-programs"
  labels {
    NAMESPACE = "default"
  }
}

test "the network of the host is out of reach" {
  command = "/local/run"
  deny    = "directive"
  labels {
    NAMESPACE = "default"
  }
  directives {
    PrivateNetwork = ["no"]
  }
}

test "another namespace" {
  command = "/local/run"
  deny    = "labels"
  labels {
    NAMESPACE = "other"
  }
}

test "a program of the host" {
  command = "/usr/bin/id"
  deny    = "command"
  labels {
    NAMESPACE = "default"
  }
}

test "too much memory" {
  command    = "/local/run"
  memory_max = "513MiB"
  deny       = "resources"
  labels {
    NAMESPACE = "default"
  }
}

test "too many processes" {
  command   = "/local/run"
  tasks_max = 65
  deny      = "resources"
  labels {
    NAMESPACE = "default"
  }
}

test "too large a share of the CPUs" {
  command    = "/local/run"
  cpu_weight = 101
  deny       = "resources"
  labels {
    NAMESPACE = "default"
  }
}

test "no shell beside a task" {
  session = "own-programs"
  command = "/usr/bin/id"
  never   = "sessions"
  labels {
    NAMESPACE = "default"
  }
}

test "no capability" {
  command = "/local/run"
  never   = "more-rights"
  labels {
    NAMESPACE = "default"
  }
  directives {
    AmbientCapabilities = ["CAP_KILL"]
  }
}

test "no place before others" {
  command = "/local/run"
  never   = "more-rights"
  labels {
    NAMESPACE = "default"
  }
  directives {
    Nice = ["-5"]
  }
}

test "no group of others" {
  command = "/local/run"
  never   = "more-rights"
  labels {
    NAMESPACE = "default"
  }
  directives {
    SupplementaryGroups = ["users"]
  }
}

test "no address that the host denies" {
  command = "/local/run"
  never   = "more-rights"
  labels {
    NAMESPACE = "default"
  }
  directives {
    IPAddressAllow = ["any"]
  }
}

test "no device" {
  command = "/local/run"
  never   = "more-rights"
  labels {
    NAMESPACE = "default"
  }
  directives {
    DeviceAllow = ["/dev/fuse rw"]
  }
}

test "the twenty-first task" {
  command = "/local/run"
  deny    = "quota"
  labels {
    NAMESPACE = "default"
  }
  running {
    units = 20
  }
}

test "more memory than is left" {
  command    = "/local/run"
  memory_max = "512MiB"
  deny       = "quota"
  labels {
    NAMESPACE = "default"
  }
  running {
    memory = "3800MiB"
  }
}

test "more starts than one a second" {
  command = "/local/run"
  deny    = "quota"
  labels {
    NAMESPACE = "default"
  }
  running {
    starts = 60
  }
}
