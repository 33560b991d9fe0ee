version = 1

pool "p" { first = 2100000000, count = 1 }
