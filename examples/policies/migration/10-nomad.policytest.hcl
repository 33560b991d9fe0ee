# SPDX-License-Identifier: MPL-2.0
#
# systemd-brokerd policy test --policy examples/policies/migration

version = 1

test "a program of the host" {
  command          = "/usr/bin/bash"
  args             = ["-c", "date; sleep 1"]
  memory_unlimited = true
  allow            = "as-before"
}

test "a program of the job as a user of the host" {
  command = "/local/x"
  user    = "www-data"
  profile = "trusted"
  allow   = "as-before"
}

test "a program that logs to the journal" {
  command    = "/usr/bin/env"
  log_driver = "journal"
  profile    = "default"
  allow      = "as-before"
}

test "a program that logs nowhere" {
  command    = "/usr/bin/env"
  log_driver = "none"
  allow      = "as-before"
}

test "a session" {
  session = "as-before"
  command = "bash"
  allow   = "as-before"
}

test "a directive about resources" {
  command = "/usr/bin/env"
  allow   = "as-before"
  directives {
    LimitNOFILE = ["65536"]
  }
}

test "root" {
  command = "/usr/bin/env"
  user    = "root"
  deny    = "user"
}

test "another user" {
  command = "/usr/bin/env"
  user    = "app"
  deny    = "user"
}

test "a program outside of /usr, /local and /alloc" {
  command = "/etc/init.d/x"
  deny    = "command"
}

test "far too many processes" {
  command   = "/usr/bin/env"
  tasks_max = 65537
  deny      = "resources"
}
