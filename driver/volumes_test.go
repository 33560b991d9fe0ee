// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
)

// TestVolumesOfATask: Nomad's mounts and the task's binds become volumes, by their
// destination, and what cannot be given is refused.
func TestVolumesOfATask(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mounts []*drivers.MountConfig
		binds  Binds
		want   []string // source:destination and what it is; or one part of the error
	}{
		{"none", nil, Binds{}, nil},
		{
			"Nomad's",
			[]*drivers.MountConfig{
				{TaskPath: "/data", HostPath: "/opt/"},
				{TaskPath: "models", HostPath: "/srv//models", Readonly: true, PropagationMode: "private"},
			},
			Binds{},
			[]string{"/opt:/data rw", "/srv/models:/models ro"},
		},
		{
			"its own, after Nomad's in the same place",
			[]*drivers.MountConfig{{TaskPath: "/b", HostPath: "/opt"}},
			Binds{map[string]string{"/srv/b": "/b", "/srv/z": "/a"}, map[string]string{"/srv/ro": "/c"}, map[string]string{"/srv/i": "/d"}},
			[]string{"/srv/z:/a rw", "/opt:/b rw", "/srv/b:/b rw", "/srv/ro:/c ro", "/srv/i:/d ro image"},
		},
		{
			"mounts made later, from the host",
			[]*drivers.MountConfig{{TaskPath: "/data", HostPath: "/opt", PropagationMode: "host-to-task"}},
			Binds{},
			[]string{`volume_mount /data: propagation_mode "host-to-task" is not possible`},
		},
		{
			"mounts made later, both ways",
			[]*drivers.MountConfig{{TaskPath: "/data", HostPath: "/opt", PropagationMode: "bidirectional"}},
			Binds{},
			[]string{`set it to "private" or remove it`},
		},
		{
			"relabelling",
			[]*drivers.MountConfig{{TaskPath: "/data", HostPath: "/opt", SELinuxLabel: "Z"}},
			Binds{},
			[]string{"remove selinux_label"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := volumes(&drivers.TaskConfig{Mounts: tt.mounts}, &tt.binds)
			if err != nil {
				if len(tt.want) != 1 || !strings.Contains(err.Error(), tt.want[0]) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, v := range all {
				line := fmt.Sprintf("%s:%s %s", v.GetSource(), v.GetDestination(), map[bool]string{true: "ro", false: "rw"}[v.GetReadOnly()])
				if v.GetImage() {
					line += " image"
				}
				got = append(got, line)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
