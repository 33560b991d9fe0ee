# SPDX-License-Identifier: MPL-2.0

version = 1

test "production proves what it is" {
  command  = "/local/postgres"
  user     = "app"
  identity = true
  allow    = "production"
  volumes {
    read_write = ["/srv/db"]
  }
  labels {
    NAMESPACE  = "prod"
    GROUP_NAME = "db"
  }
}

test "another group of the database, to the journal" {
  command    = "/local/postgres"
  user       = "app"
  identity   = true
  log_driver = "journal"
  allow      = "production"
  labels {
    NAMESPACE  = "prod"
    GROUP_NAME = "db-standby"
  }
}

test "who only says so is not production" {
  command = "/local/postgres"
  user    = "app"
  deny    = "identity"
  labels {
    NAMESPACE  = "prod"
    GROUP_NAME = "db"
  }
}

test "another namespace is not production, whatever it proves" {
  command  = "/local/postgres"
  user     = "app"
  identity = true
  deny     = "user"
  labels {
    NAMESPACE  = "dev"
    GROUP_NAME = "db"
  }
}

test "another group of production has no database" {
  command  = "/local/postgres"
  user     = "app"
  identity = true
  deny     = "user"
  labels {
    NAMESPACE  = "prod"
    GROUP_NAME = "web"
  }
}

test "others run what they bring along" {
  command = "/local/server"
  allow   = "others"
}

test "in their sandbox anything" {
  session = "others"
  command = "/usr/bin/id"
  allow   = "others"
}

test "and no more than a gigabyte" {
  command    = "/local/server"
  memory_max = "2GiB"
  deny       = "resources"
}
