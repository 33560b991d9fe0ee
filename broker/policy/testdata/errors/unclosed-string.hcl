version = 1

client "nomad {
}
