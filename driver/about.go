// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"maps"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
)

const (
	// Name is the driver's name in a job: driver = "systemd".
	Name = "systemd"

	handleVersion = 1

	defaultBrokerSocket = "/run/systemd-brokerd/broker.sock"
	defaultFDSocket     = "/run/systemd-brokerd/fds.sock"
)

// Version is set by the linker.
var Version = "0.0.0-dev"

var pluginInfo = &base.PluginInfoResponse{
	Type:              base.PluginTypeDriver,
	PluginApiVersions: []string{drivers.ApiVersion010},
	PluginVersion:     Version,
	Name:              Name,
}

var capabilities = &drivers.Capabilities{
	SendSignals: true,
	Exec:        true,
	// With an image of its own a task sees /alloc, /local and /secrets, and
	// Nomad neither mounts nor chowns anything, which an agent without
	// privileges could not do.
	FSIsolation:       fsisolation.Image,
	NetIsolationModes: []drivers.NetIsolationMode{drivers.NetIsolationModeHost},
	MountConfigs:      drivers.MountConfigSupportAll,
}

// Config is the plugin's configuration in the agent's plugin block.
type Config struct {
	BrokerSocket string  `codec:"broker_socket"`
	FDSocket     string  `codec:"fd_socket"`
	Orphans      Orphans `codec:"orphans"`
	// Identity is the name of the identity block whose token proves to the broker
	// what a task is, "default" for Nomad's own.
	Identity string `codec:"identity"`
}

var configSpec = hclspec.NewObject(map[string]*hclspec.Spec{
	"broker_socket": hclspec.NewDefault(hclspec.NewAttr("broker_socket", "string", false), hclspec.NewLiteral(`"`+defaultBrokerSocket+`"`)),
	"fd_socket":     hclspec.NewDefault(hclspec.NewAttr("fd_socket", "string", false), hclspec.NewLiteral(`"`+defaultFDSocket+`"`)),
	"orphans":       orphansSpec,
	"identity":      hclspec.NewDefault(hclspec.NewAttr("identity", "string", false), hclspec.NewLiteral(`"`+defaultIdentity+`"`)),
})

// TaskConfig is a task's config block.
type TaskConfig struct {
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
	Logging Logging  `codec:"logging"`
	// SignalTarget is who gets a signal of alloc signal or of a template:
	// "main", the main process, or "all", every process of the task.
	SignalTarget string `codec:"signal_target"`
	// Session is "user" for a task that runs in the service manager of its user.
	Session string `codec:"session"`
	// Group and SupplementaryGroups are names of groups of the host.
	Group               string   `codec:"group"`
	SupplementaryGroups []string `codec:"supplementary_groups"`
	// Credential has the task's credentials by name.
	Credential map[string]Credential `codec:"credential"`
	Sandbox
	Binds
	Files
}

var taskConfigSpec = hclspec.NewObject(withSandbox(map[string]*hclspec.Spec{
	// Not required here: the error for a missing command is ours, and says more.
	"command":       hclspec.NewAttr("command", "string", false),
	"args":          hclspec.NewAttr("args", "list(string)", false),
	"logging":       loggingSpec,
	"bind":          hclspec.NewBlockAttrs("bind", "string", false),
	"bind_ro":       hclspec.NewBlockAttrs("bind_ro", "string", false),
	"mount_images":  hclspec.NewBlockAttrs("mount_images", "string", false),
	"signal_target": hclspec.NewDefault(hclspec.NewAttr("signal_target", "string", false), hclspec.NewLiteral(`"main"`)),

	"session":              hclspec.NewAttr("session", "string", false),
	"group":                hclspec.NewAttr("group", "string", false),
	"supplementary_groups": hclspec.NewAttr("supplementary_groups", "list(string)", false),
	"credential":           credentialSpec,
}))

func withSandbox(m map[string]*hclspec.Spec) map[string]*hclspec.Spec {
	maps.Copy(m, sandboxSpec)
	maps.Copy(m, filesSpec)
	return m
}
