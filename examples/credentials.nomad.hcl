# SPDX-License-Identifier: MPL-2.0
#
# Secrets that only the program of the task can read, in memory that is never swapped:
# one from a Nomad variable, one from the job.
#
#   nomad var put nomad/jobs/credentials key=swordfish
#   nomad job run credentials.nomad.hcl
job "credentials" {
  type = "batch"

  group "credentials" {
    task "app" {
      driver = "systemd"

      template {
        destination = "secrets/key"
        perms       = "600"
        data        = "{{ with nomadVar \"nomad/jobs/credentials\" }}{{ .key }}{{ end }}"
      }

      template {
        destination = "local/app"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          cd "$CREDENTIALS_DIRECTORY" && ls
          echo "the key has $(wc -c <key) bytes, the banner is $(cat banner)"
          echo x 2>/dev/null >key || echo "cannot change the key"
        EOT
      }

      config {
        command = "local/app"

        credential "key" {
          source = "secrets/key"
        }

        credential "banner" {
          content = "not secret"
        }
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
