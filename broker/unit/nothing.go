// SPDX-License-Identifier: MPL-2.0

package unit

import "github.com/godbus/dbus/v5"

// empty is a property that must have no value, from a version of systemd on.
type empty struct {
	Property
	since int
}

// nothing are properties that must have no value in a unit that was sent none. Each
// would run something beside the program or as root, give the program a right or a
// way to the host, or make an exception from a fence. Who can write the files of PID
// 1's configuration is root, and may well mean a drop-in for all units whose names
// begin with "nomad-"; but what a unit has then is not what the policy decided.
var nothing = []empty{
	none("ExecCondition", []exec{}), none("ExecStartPre", []exec{}), none("ExecStartPost", []exec{}),
	none("ExecReload", []exec{}), none("ExecStop", []exec{}), none("ExecStopPost", []exec{}),
	none("PAMName", ""), none("Delegate", false),
	none("AmbientCapabilities", uint64(0)), none("SupplementaryGroups", []string{}),
	none("RootImage", ""), none("MountImages", []mountImage{}), none("ExtensionImages", []extension{}), none("ExtensionDirectories", []string{}),
	none("LoadCredential", []pair{}), none("LoadCredentialEncrypted", []pair{}),
	none("SetCredential", []secret{}), none("SetCredentialEncrypted", []secret{}),
	none("NetworkNamespacePath", ""), none("IPCNamespacePath", ""),
	none("DeviceAllow", []pair{}), none("IPAddressAllow", []address{}), none("SocketBindAllow", []port{}),
	none("ExecPaths", []string{}), none("ReadWritePaths", []string{}),
	{Property{"OpenFile", dbus.MakeVariant([]openFile{})}, 253},
	{Property{"ImportCredential", dbus.MakeVariant([]string{})}, 254},
}

func none(name string, value any) empty { return empty{Property{name, dbus.MakeVariant(value)}, 0} }

// withoutFlags is the program with nothing that only ExecStartEx= shows, such as
// that it keeps the privileges of PID 1 ("+").
func withoutFlags(program dbus.Variant) Property {
	var all []commandEx
	commands, _ := program.Value().([]exec)
	for _, c := range commands {
		all = append(all, commandEx{c.Path, c.Argv, []string{}})
	}
	return Property{"ExecStartEx", dbus.MakeVariant(all)}
}

// What the lists have on D-Bus.
type (
	// commandEx is (sasas): path, argv, flags.
	commandEx struct {
		Path        string
		Argv, Flags []string
	}
	// extension is (sba(ss)).
	extension struct {
		Source        string
		IgnoreMissing bool
		Options       []pair
	}
	// secret is (say).
	secret struct {
		Name  string
		Value []byte
	}
	// address is (iayu).
	address struct {
		Family  int32
		Address []byte
		Prefix  uint32
	}
	// port is (iiqq).
	port struct {
		Family, Protocol int32
		Count, First     uint16
	}
	// openFile is (sst).
	openFile struct {
		Path, Name string
		Flags      uint64
	}
)
