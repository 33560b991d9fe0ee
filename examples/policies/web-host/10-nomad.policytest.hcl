# SPDX-License-Identifier: MPL-2.0
#
# systemd-brokerd policy test --policy examples/policies/web-host

version = 1

test "a service" {
  command = "/local/server"
  allow   = "services"
}

test "a service that logs to the journal" {
  command    = "/local/server"
  log_driver = "journal"
  allow      = "services"
}

test "a service on port 80" {
  command      = "/local/server"
  capabilities = ["CAP_NET_BIND_SERVICE"]
  allow        = "services"
}

test "a service that configures the network" {
  command      = "/local/server"
  capabilities = ["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"]
  deny         = "directive"
}

test "a look into a service" {
  session = "services"
  command = "/usr/bin/ls"
  allow   = "services"
}

test "a service that is too large" {
  command    = "/local/server"
  memory_max = "5GiB"
  deny       = "resources"
}

test "a service with too many threads" {
  command   = "/local/server"
  tasks_max = 2049
  deny      = "resources"
}

test "a service as www-data" {
  command = "/local/server"
  user    = "www-data"
  deny    = "user"
}

test "nginx" {
  command = "/usr/sbin/nginx"
  args    = ["-e", "stderr", "-c", "/local/nginx.conf", "-g", "daemon off;"]
  user    = "www-data"
  allow   = "nginx"
}

test "nginx logs to the journal" {
  command    = "/usr/sbin/nginx"
  log_driver = "journal"
  user       = "www-data"
  allow      = "nginx"
}

test "nginx with the host's configuration" {
  command = "/usr/sbin/nginx"
  args    = ["-c", "/etc/nginx/nginx.conf"]
  user    = "www-data"
  deny    = "args"
}

test "nginx with a configuration out of local/" {
  command = "/usr/sbin/nginx"
  args    = ["-c", "/local/../etc/nginx/nginx.conf"]
  user    = "www-data"
  deny    = "args"
}

test "nginx that is too large" {
  command    = "/usr/sbin/nginx"
  memory_max = "2GiB"
  user       = "www-data"
  deny       = "resources"
}

test "another program of the host as www-data" {
  command = "/usr/bin/id"
  user    = "www-data"
  deny    = "command"
}

test "a fifth nginx" {
  command = "/usr/sbin/nginx"
  user    = "www-data"
  deny    = "quota"
  running {
    units = 4
  }
}

test "nginx with other code in it" {
  command = "/usr/sbin/nginx"
  user    = "www-data"
  deny    = "env"
  env {
    LD_PRELOAD = "/local/x.so"
  }
}
