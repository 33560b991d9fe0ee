# SPDX-License-Identifier: MPL-2.0
#
# A task to look into: commands run beside it, as its user and in its sandbox. The rule
# of the policy must say sessions = true, as the one that is installed first does.
#
#   nomad job run exec.nomad.hcl
#   nomad alloc exec -job exec cat /tmp/state

job "exec" {
  group "exec" {
    task "app" {
      driver = "systemd"

      template {
        destination = "local/app"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          trap 'exit 0' TERM
          echo "only this task sees it" >/tmp/state
          echo ready
          while :; do sleep 1000 & wait; done
        EOT
      }

      config {
        command = "local/app"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
