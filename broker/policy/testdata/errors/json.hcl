version = 1

{"client": {}}
