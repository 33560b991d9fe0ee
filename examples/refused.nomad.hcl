# SPDX-License-Identifier: MPL-2.0
#
# A job that asks for too much: no policy can allow a task to run as root. The
# event in "nomad alloc status" says what was refused and why.
#
#   nomad job run refused.nomad.hcl

variable "artifact" {
  type        = string
  description = "Where the archive with the program hello is."
  default     = "http://127.0.0.1:8000/hello.tar.gz" # served in the test bed
}

job "refused" {
  type = "batch"

  group "refused" {
    # A refusal stays one: only another policy or another job changes it.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "hello" {
      driver = "systemd"
      user   = "root"

      artifact {
        source      = var.artifact
        destination = "local"
      }

      config {
        command = "local/hello"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
