# SPDX-License-Identifier: MPL-2.0
#
# A batch job: fetch an archive, run the program in it once, say who it is.
#
#   nomad job run batch.nomad.hcl
#   nomad alloc logs -job batch

variable "artifact" {
  type        = string
  description = "Where the archive with the program hello is."
  default     = "http://127.0.0.1:8000/hello.tar.gz" # served in the test bed
}

job "batch" {
  type = "batch"

  group "batch" {
    task "hello" {
      driver = "systemd"

      # An archive keeps the mode of the files in it; a program that is
      # downloaded alone is not executable.
      artifact {
        source      = var.artifact
        destination = "local"
      }

      config {
        command = "local/hello"
      }

      resources {
        cpu    = 100 # MHz
        memory = 64  # MiB
      }
    }
  }
}
