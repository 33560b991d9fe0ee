# SPDX-License-Identifier: MPL-2.0
# A rule that wants proof, and what proves it.
version = 1

identity "e2e" {
  client    = "nomad"
  audiences = ["systemd-brokerd"]
  keys      = "/var/lib/systemd-brokerd-keys/jwks.json"
  keys_user = "systemd-brokerd-keys"
}

# Its own program, so that no other rule allows what this one refuses.
rule "e2e-proven" {
  client           = "nomad"
  log_drivers      = ["fds"]
  sessions         = true
  require_identity = true

  labels {
    NAMESPACE = ["default"]
    JOB_ID    = ["proven-*"]
  }

  exec {
    paths = ["/usr/libexec/e2e-proven"]
  }

  run_as {
    dynamic_user = true
  }
}
