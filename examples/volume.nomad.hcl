# SPDX-License-Identifier: MPL-2.0
#
# Data that outlives the job: a host volume, which the task writes to as a user of the
# host. The policy must allow both (rule "example-volume" in policy.hcl), and the
# configuration of the agent must have the volume:
#
#   client {
#     host_volume "data" {
#       path = "/srv/data" # belongs to www-data
#     }
#   }
job "volume" {
  type = "batch"

  group "volume" {
    volume "data" {
      type   = "host"
      source = "data"
    }

    task "app" {
      driver = "systemd"
      user   = "www-data"

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      template {
        destination = "local/app"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          date +%s >>/data/runs
          echo "run $(wc -l </data/runs) of user $(id -un)"
        EOT
      }

      config {
        command = "local/app"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
