# SPDX-License-Identifier: MPL-2.0
#
# systemd-brokerd policy test --policy examples/policies/batch-host

version = 1

test "a Python script" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py", "--fast"]
  cpu_percent = 400
  allow       = "scripts"
}

test "a Perl script" {
  command     = "/usr/bin/perl"
  args        = ["/local/job.pl"]
  cpu_percent = 100
  allow       = "scripts"
}

test "a program in the arguments" {
  command     = "/usr/bin/python3"
  args        = ["-c", "print()"]
  cpu_percent = 100
  deny        = "args"
}

test "more than four CPUs" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 401
  deny        = "resources"
}

test "no limit of CPU time" {
  command = "/usr/bin/python3"
  args    = ["/local/job.py"]
  deny    = "resources"
}

test "too much memory" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 100
  memory_max  = "9GiB"
  deny        = "resources"
}

test "a shell" {
  command     = "/usr/bin/bash"
  args        = ["/local/job.sh"]
  cpu_percent = 100
  deny        = "command"
}

test "a session" {
  session     = "scripts"
  command     = "/usr/bin/id"
  cpu_percent = 100
  deny        = "session"
}

test "a thirty-third script" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 100
  deny        = "quota"
  running {
    units = 32
  }
}

test "more memory than is left" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 100
  deny        = "quota"
  running {
    memory = "48GiB"
  }
}

test "more starts than two a second" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 100
  deny        = "quota"
  running {
    starts = 120
  }
}

test "a module before the script" {
  command     = "/usr/bin/python3"
  args        = ["/local/job.py"]
  cpu_percent = 100
  deny        = "env"
  env {
    PYTHONSTARTUP = "/alloc/other.py"
  }
}
