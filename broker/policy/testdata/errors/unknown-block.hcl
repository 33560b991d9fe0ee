version = 1

never {
}
