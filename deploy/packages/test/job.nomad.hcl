# SPDX-License-Identifier: MPL-2.0
#
# A task that the policy as it is installed allows: a program that the job brings.
job "packages" {
  group "packages" {
    task "app" {
      driver = "systemd"

      template {
        destination = "local/app"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          while :; do
            date +%s
            sleep 1
          done
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
