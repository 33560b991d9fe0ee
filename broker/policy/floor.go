// SPDX-License-Identifier: MPL-2.0

package policy

// This file is the floor: what no rule can allow. It holds tables, and the
// reasons of their rows.

// execRoots are where programs may be, in the unit's view; anything else a rule
// must list by its exact path.
var execRoots = []string{"/local", "/alloc", "/usr"}

// usrLinks are the directories of / that are links into /usr in a unit's view.
var usrLinks = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// dangerousGroups are the groups whose members own the host, or see what is
// everybody's. No unit is ever in one of them, whatever their number here.
var dangerousGroups = []string{
	"root",
	"adm",    // reads /var/log
	"admin",  // what sudo was called elsewhere
	"disk",   // reads and writes block devices
	"docker", // starts containers as root
	"incus",  // starts containers as root
	"incus-admin",
	"input",   // reads every key that is pressed
	"kmem",    // reads the kernel's memory
	"kvm",     // drives the hypervisor
	"libvirt", // starts machines with the host's disks
	"lxd",     // starts containers as root
	"shadow",  // reads the hashes of passwords
	"staff",   // writes to /usr/local, which root's PATH begins with
	"sudo",
	"systemd-journal", // reads everybody's logs
	"tty",             // writes to everybody's terminals
	"wheel",
}
