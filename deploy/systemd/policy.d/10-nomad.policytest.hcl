# SPDX-License-Identifier: MPL-2.0
#
# What the policy beside this file must allow and deny:
#
#   systemd-brokerd policy test

version = 1

test "a job runs what it brings along" {
  command = "/local/server"
  allow   = "task-binaries"
}

test "its output may go to the journal" {
  command    = "/local/server"
  log_driver = "journal"
  allow      = "task-binaries"
}

test "its output may go nowhere" {
  command    = "/local/server"
  log_driver = "none"
  allow      = "task-binaries"
}

test "alloc exec and script checks work" {
  session = "task-binaries"
  command = "/usr/bin/id"
  allow   = "task-binaries"
}

test "programs of the host are not for jobs" {
  command = "/usr/bin/id"
  deny    = "command"
}

test "neither are users of the host" {
  command = "/local/server"
  user    = "root"
  deny    = "user"
}

test "memory is limited" {
  command          = "/local/server"
  memory_unlimited = true
  deny             = "resources"
}
