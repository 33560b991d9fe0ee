# SPDX-License-Identifier: MPL-2.0
#
# A job that is run on demand, each time with an input and parameters of its own.
#
#   nomad job run parameterized.nomad.hcl
#   echo some words | nomad job dispatch -meta case=upper parameterized -

job "parameterized" {
  type = "batch"

  parameterized {
    payload       = "required"
    meta_required = ["case"]
  }

  group "parameterized" {
    task "convert" {
      driver = "systemd"

      # Written to local/input.
      dispatch_payload {
        file = "input"
      }

      template {
        destination = "local/convert"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          exec tr "[:lower:]" "[:$NOMAD_META_case:]" </local/input
        EOT
      }

      config {
        command = "local/convert"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
