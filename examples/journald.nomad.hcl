# SPDX-License-Identifier: MPL-2.0
#
# Output to the journal of the host instead of Nomad's log files.
#
#   nomad job run journald.nomad.hcl
#   journalctl --follow NOMAD_JOB_ID=journald

variable "artifact" {
  type        = string
  description = "Where the archive with the program hello is."
  default     = "http://127.0.0.1:8000/hello.tar.gz" # served in the test bed
}

job "journald" {
  group "journald" {
    task "hello" {
      driver = "systemd"

      artifact {
        source      = var.artifact
        destination = "local"
      }

      config {
        command = "local/hello"
        args    = ["tick"]

        logging {
          driver = "journald"
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
