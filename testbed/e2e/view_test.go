// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"maps"
	"regexp"
	"strings"
	"testing"
)

// prepareFiles makes what the tests' policy lets tasks see below /srv/e2e.
// It returns a root hash of dm-verity, and one of something else.
func prepareFiles(t *testing.T) (hash, other string) {
	t.Helper()
	makeDevice(t)
	run(t, "sh", "-ec", `
mkdir -p /srv/e2e/images/tree; cd /srv/e2e/images; cp /srv/artifacts/hello tree/hello
(cd tree; mkdir -p alloc local secrets proc sys dev run tmp var/tmp usr etc root)
echo broken >corrupt; chmod 755 tree; chmod 644 corrupt
mksquashfs tree squashfs -quiet -no-progress -noappend >/dev/null
mkfs.erofs --quiet erofs tree >/dev/null
rm -f ext4; truncate -s 64M ext4; mke2fs -q -t ext4 -d tree ext4
cp squashfs verity; veritysetup format verity verity.verity | sed -n 's/^Root hash:[[:space:]]*//p' >roothash
chmod 644 squashfs erofs ext4 verity verity.verity`)
	hash = run(t, "cat", "/srv/e2e/images/roothash")
	return hash, strings.NewReplacer("0", "1", "1", "0").Replace(hash)
}

// makeDevice makes the device that the tests' policy lets tasks have.
func makeDevice(t *testing.T) {
	t.Helper()
	run(t, "sh", "-ec", `[ -e /dev/e2e ] || mknod -m 666 /dev/e2e b $(stat -c "%Hr %Lr" /dev/vda)`)
}

// TestViews: what a task sees with each key, and what it cannot do there.
func TestViews(t *testing.T) {
	hash, otherHash := prepareFiles(t)
	// Each is the first with its root hash, the one for which systemd waits for udev.
	for _, tt := range []struct{ name, hash, want string }{
		{"an image that fits its root hash", hash, "root: /alloc /dev /etc /hello /local /proc"},
		{"an image that does not fit its root hash", otherHash, "does not match its root hash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, events := result(t, task{Config: keys{"command": "/hello", "rootfs": "image", "image": "/srv/e2e/images/verity", "image_root_hash": tt.hash}})
			if !strings.Contains(out+events, tt.want) {
				t.Errorf("%q is missing in:\n%s\n%s", tt.want, out, events)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		config keys
		script string
		want   []string // regular expressions
	}{
		{
			"minimal",
			keys{"devices": []string{"/dev/e2e:r"}},
			"head -c 3 /dev/e2e | wc -c; sh -c ': >/dev/e2e' 2>&1; ls /dev/vda 2>&1",
			[]string{`\A3\n.*Operation not permitted`, "vda.: No such file"},
		},
		{
			"host",
			keys{"rootfs": "host"},
			"cat /etc/hostname; ls -d /home /var/log; ls /var/lib/nomad; touch /etc/x /home/x; ls /run | wc -l; ls -A /tmp | wc -l; cat /local/script | head -c 2; ls /run/systemd /run/dbus; ls /etc/systemd-brokerd",
			[]string{`(?s)\A[a-z-]+\n/home\n/var/log\n[0-9]+\n0\n#!`, "/var/lib/nomad.: Permission denied", "/etc/x.: Read-only", "/home/x.: Read-only", "/run/dbus.: No such file", "systemd-brokerd.: Permission denied"},
		},
		{
			"an image beside the rest",
			keys{"mount_images": map[string]any{"/srv/e2e/images/squashfs": "/model"}},
			"ls /model; touch /model/x; ls -d /usr/bin",
			[]string{`\Aalloc\n(?s).*hello\n.*/usr/bin\n`, "/model/x.: Read-only"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tk := script(tt.script)
			maps.Copy(tk.Config, tt.config)
			out, events := result(t, tk)
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("it prints:\n%s\nwant %s; events:\n%s", out, want, events)
				}
			}
			if strings.Contains(out, "FAILED") {
				t.Errorf("it could do what it must not:\n%s", out)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		config keys
		want   string // in the output or the events
	}{
		{"an image that is a tree", keys{"rootfs": "image", "image": "/srv/e2e/images/tree"}, "root: /alloc /dev /etc /hello /local /proc"},
		{"a squashfs", keys{"rootfs": "image", "image": "/srv/e2e/images/squashfs"}, "root: /alloc /dev /etc /hello /local /proc"},
		{"an erofs", keys{"rootfs": "image", "image": "/srv/e2e/images/erofs"}, "root: /alloc /dev /etc /hello /local /proc"},
		{"an ext4", keys{"rootfs": "image", "image": "/srv/e2e/images/ext4"}, "root: /alloc /dev /etc /hello /local"},
		{"a corrupt image beside the rest", keys{"mount_images": map[string]any{"/srv/e2e/images/corrupt": "/model"}}, "an image of mount_images, such as"},
		{"no image", keys{"rootfs": "image", "image": "/srv/e2e/images/none"}, `"/srv/e2e/images/none" cannot be opened: no such file`},
		{"a corrupt image", keys{"rootfs": "image", "image": "/srv/e2e/images/corrupt"}, "is corrupt or of a kind"},
		{"an image of no rule", keys{"rootfs": "image", "image": "/usr"}, "images of a rule"},
		{"a directory that only another place can show", keys{"workdir": "/etc/app"}, `bind_ro = { "/etc/app" = "/srv/etc/app" } shows it there`},
		{"a directory that no task sees", keys{"rootfs": "host", "workdir": "/run/app"}, "the host's /run/app is not in it, and cannot be"},
		{"a program of the host by its name", keys{"command": "sh"}, `"/usr/bin/sh" is refused by the policy`},
		{"a device of no rule", keys{"devices": []string{"/dev/vda"}}, "devices of a rule"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tk := task{Config: keys{"command": "/hello"}}
			maps.Copy(tk.Config, tt.config)
			if tt.config["rootfs"] != "image" {
				tk = script("echo started")
				maps.Copy(tk.Config, tt.config)
			}
			out, events := result(t, tk)
			if !strings.Contains(out+events, tt.want) {
				t.Errorf("%q is missing in:\n%s\n%s", tt.want, out, events)
			}
		})
	}
}
