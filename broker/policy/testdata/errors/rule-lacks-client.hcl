version = 1

rule "r" {
}
