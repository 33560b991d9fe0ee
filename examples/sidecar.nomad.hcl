# SPDX-License-Identifier: MPL-2.0
#
# Three tasks of one group: one that prepares, before the others; the main one; and one
# beside it. Each has a uid and a sandbox of its own; what they share is /alloc.
#
#   nomad job run sidecar.nomad.hcl
#   nomad alloc logs -job sidecar -task reader

job "sidecar" {
  type = "batch"

  group "sidecar" {
    task "prepare" {
      driver = "systemd"

      lifecycle {
        hook = "prestart"
      }

      template {
        destination = "local/prepare"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          # Others of the group may add lines, but not remove the file.
          : >/alloc/data/lines
          chmod 0666 /alloc/data/lines
        EOT
      }

      config {
        command = "local/prepare"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "reader" {
      driver = "systemd"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      template {
        destination = "local/reader"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          tail -n +1 -F /alloc/data/lines | while read -r line; do
            echo "$line"
            : >/alloc/data/read
          done
        EOT
      }

      config {
        command = "local/reader"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "writer" {
      driver = "systemd"

      template {
        destination = "local/writer"
        perms       = "755"
        data        = <<-EOT
          #!/bin/sh
          echo "written by uid $(id -u)" >>/alloc/data/lines
          # When the main task has ended, Nomad ends what runs beside it.
          until [ -e /alloc/data/read ]; do sleep 1; done
        EOT
      }

      config {
        command = "local/writer"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
