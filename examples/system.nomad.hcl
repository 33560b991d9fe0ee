# SPDX-License-Identifier: MPL-2.0
#
# A job that runs on each node that can run it, and says so by a constraint on what
# the driver tells Nomad of the host.
#
#   nomad job run system.nomad.hcl

job "system" {
  type = "system"

  constraint {
    attribute = "${attr.driver.systemd.feature.sessions}"
    value     = "true"
  }

  group "system" {
    task "watch" {
      driver = "systemd"

      template {
        destination = "local/watch"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          trap 'exit 0' TERM
          while read -r load rest; do echo "load $load"; sleep 60 & wait; done </proc/loadavg
          while :; do sleep 60 & wait; done
        EOT
      }

      config {
        command = "local/watch"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
