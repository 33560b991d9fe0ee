# SPDX-License-Identifier: MPL-2.0
#
# A service: answers HTTP on a port that Nomad chooses, and is registered with
# Nomad, which checks that it answers.
#
#   nomad job run service.nomad.hcl
#   nomad service info hello
#   nomad job stop service

variable "artifact" {
  type        = string
  description = "Where the archive with the program hello is."
  default     = "http://127.0.0.1:8000/hello.tar.gz" # served in the test bed
}

job "service" {
  type = "service"

  update {
    min_healthy_time = "1s"
  }

  group "service" {
    # The network of the host, and a free port of it.
    network {
      port "http" {}
    }

    service {
      name     = "hello"
      provider = "nomad"
      port     = "http"

      check {
        type     = "http"
        path     = "/"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "hello" {
      driver       = "systemd"
      kill_timeout = "10s" # from SIGTERM to SIGKILL

      artifact {
        source      = var.artifact
        destination = "local"
      }

      # The program reads its port from $NOMAD_PORT_http.
      config {
        command = "local/hello"
        args    = ["serve"]
      }

      resources {
        cpu        = 200 # MHz: its share when the CPU is scarce, no upper limit
        memory     = 32  # MiB: left to it when memory is scarce
        memory_max = 64  # MiB: more ends it
      }
    }
  }
}
