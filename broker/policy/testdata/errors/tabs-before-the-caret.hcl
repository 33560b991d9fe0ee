version = 1

client "nomad" {
		usr	= "ä" # é
}
