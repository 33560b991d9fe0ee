version = 1

rule "p" { client = "nomad", log_drivers = ["fds"] }
