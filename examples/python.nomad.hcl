# SPDX-License-Identifier: MPL-2.0
#
# A Python program with the interpreter of the host: /usr is there, read-only. The
# policy must list the interpreter (rule "example-python" in policy.hcl).
#
#   nomad job run python.nomad.hcl

job "python" {
  type = "batch"

  group "python" {
    task "app" {
      driver = "systemd"

      template {
        destination = "local/app.py"

        data = <<-EOT
          import os, sys
          print("python", sys.version_info.major, "in", os.getcwd())
          print("uid", os.getuid(), "job", os.environ["NOMAD_JOB_NAME"])
          try:
              open("/usr/of-the-host", "w")
          except OSError as error:
              print("cannot write to /usr:", error.strerror)
        EOT
      }

      config {
        command = "/usr/bin/python3"
        args    = ["-u", "/local/app.py"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
