version = 1

rule "r" {
  client = "nomad"
  log_drivers = ["fds" "journal"]
}
