// SPDX-License-Identifier: MPL-2.0

package fakepid1

import (
	"reflect"

	"github.com/godbus/dbus/v5"
)

// signatures are of properties that units are not sent, and that read as empty then.
var signatures = map[string]string{
	"ExecCondition": "a(sasbttttuii)", "ExecStartPre": "a(sasbttttuii)", "ExecStartPost": "a(sasbttttuii)",
	"ExecReload": "a(sasbttttuii)", "ExecStop": "a(sasbttttuii)", "ExecStopPost": "a(sasbttttuii)",
	"PAMName": "s", "Delegate": "b", "AmbientCapabilities": "t", "SupplementaryGroups": "as",
	"RootImage": "s", "MountImages": "a(ssba(ss))", "ExtensionImages": "a(sba(ss))", "ExtensionDirectories": "as",
	"LoadCredential": "a(ss)", "LoadCredentialEncrypted": "a(ss)", "SetCredential": "a(say)", "SetCredentialEncrypted": "a(say)",
	"NetworkNamespacePath": "s", "IPCNamespacePath": "s", "DeviceAllow": "a(ss)", "IPAddressAllow": "a(iayu)",
	"SocketBindAllow": "a(iiqq)", "ExecPaths": "as", "ReadWritePaths": "as",
}

// addUnset adds to all what the unit was started without.
func (u *Unit) addUnset(all map[string]dbus.Variant) {
	for name, signature := range signatures {
		if _, sent := all[name]; !sent {
			typ, _ := typeOf(signature)
			all[name] = dbus.MakeVariant(reflect.Zero(typ).Interface())
		}
	}
	if program := u.sent["ExecStart"]; program != nil {
		all["ExecStartEx"] = exForm(program)
	}
	if user := u.sent["User"]; user != nil && u.sent["Group"] == nil {
		all["Group"] = readForm("User", user) // a dynamic user's own
	}
}

// exForm has flags, of which there are none, where execForm has a bool.
func exForm(values []dbus.Variant) dbus.Variant {
	typ, _ := typeOf("a(sasasttttuii)")
	rows, _ := values[len(values)-1].Value().([][]any)
	out := make([][]any, len(rows))
	for i, r := range rows {
		out[i] = []any{r[0], r[1], []string{}, uint64(1), uint64(1), uint64(0), uint64(0), uint32(1), int32(0), int32(0)}
	}
	return dbus.MakeVariant(store(dbus.MakeVariant(out), typ).Interface())
}
