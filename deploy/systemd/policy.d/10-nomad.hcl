# SPDX-License-Identifier: MPL-2.0
#
# What the Nomad agent may have systemd-brokerd start on this host.
#
# The broker denies everything that no rule here allows. A request is allowed if
# one single rule accepts all of it; what a rule does not mention it does not
# allow; the order of rules and files does not matter. Whatever is written here,
# no task runs as root, as the agent's own user, or in a group such as docker,
# disk or shadow.
#
# All files /etc/systemd-brokerd/policy.d/*.hcl together are the policy, and each
# starts with the version of the language. They must belong to root. A policy
# with a mistake in it is refused as a whole, with the file and line.

version = 1

# Who may ask: the user that the Nomad agent runs as. The kernel tells the
# broker who is at the other end of the socket.
client "nomad" {
  user        = "nomad"
  unit_prefix = "nomad"                # units are called nomad-TASK-...service
  slice       = "brokerd-nomad.slice"  # all of them are in this slice
  alloc_root  = "/var/lib/nomad/alloc" # alloc_dir of the agent
  max_units   = 1000
}

# Programs that a job brings with it (artifacts, templates), each task under a
# uid of its own, so that a task which breaks out of its sandbox owns nothing on
# the host. Paths are those that the task sees.
rule "task-binaries" {
  client      = "nomad"
  log_drivers = ["fds", "journal", "none"] # fds: what `nomad alloc logs` shows

  # `nomad alloc exec`, script checks and change_script: any program that the
  # task sees may run beside it, as its user and in its sandbox. A job that can
  # put scripts into local/ gains nothing by it.
  sessions = true

  exec {
    under = ["/local"]
  }

  run_as {
    dynamic_user = true # systemd gives each task a uid that nobody has
  }

  limits {
    memory_max = "16GiB"
    tasks_max  = 4096
  }
}

# Programs of the host, and users of the host, are not allowed until you say so.
# A user listed here can be used with everything else that the rule allows: with
# an interpreter such as bash or python3 in it, a job can do all that the user can.
#
# rule "host-tools" {
#   client      = "nomad"
#   log_drivers = ["fds", "journal"]
#   sessions    = false            # true: any program, whatever exec says
#
#   exec {
#     under = ["/usr/bin"]         # at any depth
#     paths = ["/usr/sbin/nginx"]  # exactly this program
#   }
#
#   run_as {
#     dynamic_user = true          # a job that sets no user
#     users        = ["www-data"]  # a job with user = "www-data"
#     system_users = true          # its uid is below 1000: it is one of the system's own
#   }
#
#   limits {
#     memory_max = "2GiB"
#     tasks_max  = 512
#   }
# }
