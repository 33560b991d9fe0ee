# SPDX-License-Identifier: MPL-2.0
#
# Limits that the kernel enforces: of CPU, memory, processes and the bandwidth of a
# disk. The policy must allow them (rule "example-limits" in policy.hcl).
#
#   nomad job run -var device=/dev/sda limits.nomad.hcl
#   systemd-brokerd units

variable "device" {
  type        = string
  description = "The block device whose bandwidth is limited."
  default     = "/dev/vda"
}

job "limits" {
  type = "batch"

  group "limits" {
    task "worker" {
      driver = "systemd"

      template {
        destination = "local/worker"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          echo working
          sleep 1000
        EOT
      }

      config {
        command         = "local/worker"
        cpu_hard_limit  = true # no more than resources.cpu, even when the CPUs are idle
        tasks_max       = 16
        memory_swap_max = "0"

        io {
          weight          = 50
          read_bandwidth  = ["${var.device} 20M"]
          write_bandwidth = ["${var.device} 10M"]
        }

        ulimit {
          nofile = "256:512"
        }
      }

      resources {
        cpu        = 200
        memory     = 32 # MiB: protected when memory is scarce
        memory_max = 64 # MiB: more ends it
      }
    }
  }
}
