# SPDX-License-Identifier: MPL-2.0
#
# The narrowest of the shipped profiles, and narrower still: no network, no code made
# at run time, and besides no name of the host, and no socket of any kind. The policy
# must list the profile (rule "example-strict" in policy.hcl); to tighten needs nothing.
#
#   nomad job run strict.nomad.hcl

variable "artifact" {
  type        = string
  description = "Where the archive with the program hello is."
  default     = "http://127.0.0.1:8000/hello.tar.gz" # served in the test bed
}

job "strict" {
  type = "batch"

  group "strict" {
    task "hello" {
      driver = "systemd"

      artifact {
        source      = var.artifact
        destination = "local"
      }

      config {
        command = "local/hello"
        profile = "strict"

        systemd {
          ProtectHostname         = ["yes"]
          RestrictAddressFamilies = ["none"]
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
