# SPDX-License-Identifier: MPL-2.0
#
# systemd-brokerd policy test --policy examples/policies/multi-tenant

version = 1

test "team A runs what it brings along" {
  command = "/local/x"
  allow   = "team-a"
  labels {
    NAMESPACE = "team-a"
  }
}

test "team A has more namespaces" {
  command    = "/local/x"
  log_driver = "journal"
  allow      = "team-a"
  labels {
    NAMESPACE = "team-a-dev"
  }
}

test "team A runs as its user" {
  command = "/local/x"
  user    = "app"
  allow   = "team-a"
  labels {
    NAMESPACE = "team-a"
  }
}

test "team A has sessions" {
  session = "team-a"
  command = "/usr/bin/id"
  allow   = "team-a"
  labels {
    NAMESPACE = "team-a"
  }
}

test "team A does not run Python" {
  command = "/usr/bin/python3"
  deny    = "command"
  labels {
    NAMESPACE = "team-a"
  }
}

test "team B runs what it brings along" {
  network = "none"
  command = "/local/x"
  allow   = "team-b"
  labels {
    NAMESPACE = "team-b"
  }
}

test "team B runs Python" {
  network = "none"
  command = "/usr/bin/python3"
  allow   = "team-b"
  labels {
    NAMESPACE = "team-b"
  }
}

test "team B has no network" {
  command = "/local/x"
  deny    = "network"
  labels {
    NAMESPACE = "team-b"
  }
}

test "team B has less memory" {
  command    = "/local/x"
  network    = "none"
  memory_max = "3GiB"
  deny       = "resources"
  labels {
    NAMESPACE = "team-b"
  }
}

test "team B does not run as the user of team A" {
  command = "/local/x"
  user    = "app"
  never   = "team-b-as-app"
  labels {
    NAMESPACE = "team-b"
  }
}

test "team B has no sessions" {
  session = "team-b"
  network = "none"
  command = "/usr/bin/id"
  deny    = "session"
  labels {
    NAMESPACE = "team-b"
  }
}

test "another namespace is nobody's" {
  command = "/local/x"
  deny    = "labels"
  labels {
    NAMESPACE = "team-c"
  }
}

test "another user is nobody's" {
  command = "/local/x"
  user    = "www-data"
  deny    = "labels"
  labels {
    NAMESPACE = "team-c"
  }
}

test "a fifty-first task of team A" {
  command = "/local/x"
  deny    = "quota"
  labels {
    NAMESPACE = "team-a"
  }
  running {
    units = 50
  }
}

test "more memory than team A has left" {
  command = "/local/x"
  deny    = "quota"
  labels {
    NAMESPACE = "team-a"
  }
  running {
    memory = "32GiB"
  }
}

test "a twenty-first task of team B" {
  network = "none"
  command = "/local/x"
  deny    = "quota"
  labels {
    NAMESPACE = "team-b"
  }
  running {
    units = 20
  }
}

test "more memory than team B has left" {
  network = "none"
  command = "/local/x"
  deny    = "quota"
  labels {
    NAMESPACE = "team-b"
  }
  running {
    memory = "8GiB"
  }
}

test "more starts of team B than one a second" {
  network = "none"
  command = "/local/x"
  deny    = "quota"
  labels {
    NAMESPACE = "team-b"
  }
  running {
    starts = 60
  }
}
