version = 1

always {
}
