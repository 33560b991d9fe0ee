# SPDX-License-Identifier: MPL-2.0
#
# A job that runs each night, and never twice at once. A timer of systemd would do it
# on one host; this does it on one of many.
#
#   nomad job run periodic.nomad.hcl
#   nomad job periodic force periodic

job "periodic" {
  type = "batch"

  periodic {
    crons            = ["17 3 * * *"]
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  group "periodic" {
    task "report" {
      driver = "systemd"

      template {
        destination = "local/report"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          echo "report of $NOMAD_JOB_PARENT_ID"
        EOT
      }

      config {
        command = "local/report"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
