version = 1

rule "r" {
  client = "nomad"
  network {
  }
}
