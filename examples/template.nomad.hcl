# SPDX-License-Identifier: MPL-2.0
#
# Configuration from a Nomad variable, and a signal when it changes: the program
# reads its file again, and is not restarted.
#
#   nomad var put nomad/jobs/template color=blue
#   nomad job run template.nomad.hcl
#   nomad var put -force nomad/jobs/template color=green
#   nomad alloc logs -f -job template

job "template" {
  group "template" {
    task "app" {
      driver = "systemd"

      template {
        destination   = "local/app.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"

        data = <<-EOT
          color={{ with nomadVar "nomad/jobs/template" }}{{ .color }}{{ end }}
        EOT
      }

      # The program, which could as well be an artifact.
      template {
        destination = "local/app"
        perms       = "755"

        data = <<-EOT
          #!/bin/sh
          load() { . /local/app.conf && echo "pid $$ has color $color"; }
          trap load HUP
          trap 'exit 0' TERM
          load
          while :; do
            sleep 1000 & wait
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
