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
	"adm",     // reads /var/log
	"disk",    // reads and writes block devices
	"docker",  // starts containers as root
	"incus",   // starts containers as root
	"input",   // reads every key that is pressed
	"kmem",    // reads the kernel's memory
	"kvm",     // drives the hypervisor
	"libvirt", // starts machines with the host's disks
	"lxd",     // starts containers as root
	"shadow",  // reads the hashes of passwords
	"sudo",
	"systemd-journal", // reads everybody's logs
	"tty",             // writes to everybody's terminals
	"wheel",
}

// uidRange is a range of uids with a holder, both ends included.
type uidRange struct {
	first, last uint32
	holder      string
}

// reservedUIDs are all ranges that a pool of ephemeral uids must not touch, as
// systemd documents them in UIDS-GIDS.md, and the range from which useradd(8)
// gives users their subordinate uids.
var reservedUIDs = []uidRange{
	{0, 999, "system users"},
	{1000, 60000, "the host's users"},
	{60001, 60513, "systemd-homed"},
	{60514, 60577, "users mapped into containers"},
	{60578, 61183, "too near to the ranges of others"},
	{61184, 65519, "systemd's DynamicUser="},
	{65520, 65535, "nobody, and errors of 16 bits"},
	{65536, 99999, "too near to the ranges of others"},
	{100000, 600100000, "subordinate uids of users (/etc/subuid)"},
	{600100001, 1879048191, "containers of systemd-nspawn"},
	{2147352576, 2147418111, "the foreign uids of systemd"},
	{2147418112, 4294967295, "negative numbers to some programs and file systems"},
}
