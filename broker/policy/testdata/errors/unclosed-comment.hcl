version = 1

/* a comment
