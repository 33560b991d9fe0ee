# SPDX-License-Identifier: MPL-2.0
#
# A script for an interpreter of the host. The starter policy refuses it: programs of
# the host are not for jobs until the operator says so. docs/policy-tutorial.md does.
#
#   nomad job run report.nomad.hcl

job "report" {
  type = "batch"

  group "report" {
    # A refusal stays one: only another policy or another job changes it.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "perl" {
      driver = "systemd"

      template {
        destination = "local/report.pl"
        data        = "print \"all is well\\n\";"
      }

      config {
        command = "/usr/bin/perl"
        args    = ["${NOMAD_TASK_DIR}/report.pl"]
        network = "none"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
