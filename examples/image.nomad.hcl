# SPDX-License-Identifier: MPL-2.0
#
# A root file system of the task's own: of the host it sees nothing at all. The policy
# must allow it (rule "example-image" in policy.hcl). An image is a directory tree, as
# here, or a disk image, and must belong to root:
#
#   mkdir -p /srv/images/busybox/{alloc,local,secrets,proc,sys,dev,run,tmp,var/tmp,etc,bin}
#   cp /usr/bin/busybox /srv/images/busybox/bin/
#   ln -sf busybox /srv/images/busybox/bin/sh
#   nomad job run image.nomad.hcl
job "image" {
  type = "batch"

  group "image" {
    task "app" {
      driver = "systemd"

      config {
        rootfs  = "image"
        image   = "/srv/images/busybox"
        command = "/bin/sh"
        args    = ["-c", "b=/bin/busybox; $b ls /bin; $b ls /usr; $b touch /x; echo ready >/local/state && $b cat /local/state"]
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
