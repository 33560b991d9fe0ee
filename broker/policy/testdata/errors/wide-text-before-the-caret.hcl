version = 1

client "nomad" { # ñandú
  /* ñandú */ usr = "x"
}
