version = 1

client "nomad" {
  user = "nomad"
