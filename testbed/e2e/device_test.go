// SPDX-License-Identifier: MPL-2.0

//go:build e2e

package e2e

import (
	"regexp"
	"testing"
)

// TestDeviceOfAPlugin: what a device plugin of the agent reserves for a task is in its
// view, with the rights that the plugin names, and nothing else is.
func TestDeviceOfAPlugin(t *testing.T) {
	const plugin = "/usr/libexec/nomad/plugins/e2e-device"
	makeDevice(t)
	run(t, "install", "-m", "0755", "./device", plugin)
	agentConfig(t, "e2e-device.hcl", `plugin "e2e-device" {}`)
	t.Cleanup(func() { run(t, "rm", plugin) }) // before the agent is restarted, which loads what it finds there
	tk := script(`exec 2>&1; echo "env=$E2E_DEVICE"; head -c 3 /dev/e2e | wc -c; sh -c ': >>/dev/e2e'; ls /dev/vda; echo ready; exec sleep 600`)
	tk.Device = "e2e/block/disk"
	j := submit(t, tk)
	j.await("running")
	out := j.awaitLog("ready")
	if !regexp.MustCompile(`\Aenv=/dev/e2e\n3\n.*/dev/e2e: Operation not permitted\n.*vda.: No such file`).MatchString(out) {
		t.Errorf("it prints:\n%s", out)
	}
	if is := show(t, j.unit(), "DeviceAllow")["DeviceAllow"]; is != "/dev/e2e r" {
		t.Errorf("it may use %q", is)
	}
}
