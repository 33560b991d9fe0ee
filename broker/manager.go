// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
	brokerv1 "nomad-systemd-driver/proto/broker/v1"
)

// lingerDir has a file for each user whose manager runs without a login; only root
// writes there (loginctl(1), enable-linger).
const lingerDir = "/var/lib/systemd/linger"

// endTimeout bounds the end of what is left in a scope: the user's manager is asked.
const endTimeout = 20 * time.Second

// checkManager refuses what a user's manager cannot do.
func checkManager(s *brokerv1.UnitSpec) error {
	if !s.GetUserManager() {
		return nil
	}
	switch {
	case s.GetUser() == "":
		return invalid("user_manager", "needs user: an ephemeral user has no service manager")
	case s.GetRootfs().GetKind() == brokerv1.Rootfs_KIND_IMAGE:
		return invalid("user_manager", "does not go with an image: the program that asks the user's manager is the host's")
	case s.GetLogging().GetDriver() == brokerv1.Logging_DRIVER_JOURNAL:
		return invalid("user_manager", "does not go with the log driver of the journal, which would take the lines for those of the user's manager; let Nomad have the log")
	case len(s.GetDevices()) > 0:
		return invalid("user_manager", "does not go with devices: what they may be used for is kept by the unit's own control group")
	case len(s.GetResources().GetCpus()) > 0:
		return invalid("user_manager", "does not go with cores: a user's service manager cannot reserve CPUs")
	}
	return nil
}

// managerReady refuses a start in the manager of a user that ends with the last login.
func (s *Server) managerReady(d *policy.Decision) error {
	if _, ok := d.UserManager(); !ok {
		return nil
	}
	user, _ := d.User()
	if _, err := os.Lstat(filepath.Join(s.lingerDir, user.Name)); errors.Is(err, fs.ErrNotExist) {
		return &startError{fmt.Sprintf(`the service manager of user %q ends with its last login, and its tasks with it; let it stay: loginctl enable-linger %s`, user.Name, user.Name)}
	} else if err != nil {
		return fmt.Errorf("cannot look whether the user lingers: %w", err)
	}
	for _, program := range unit.ManagerPrograms {
		if _, err := os.Stat(program); err != nil {
			return &startError{fmt.Sprintf("a task in a user's service manager needs %s, which this host lacks", program)}
		}
	}
	return nil
}

// environmentOf is the environment of the unit of r. In a user's manager a few
// variables are not the client's to choose: the start itself depends on them.
func environmentOf(r *record, req *policy.Request) map[string]string {
	if r.manager == 0 {
		return req.Env
	}
	env := maps.Clone(req.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, unit.ManagerEnvironment(r.manager))
	return env
}

// controlGroupLocked is where the processes of r are.
func (r *record) controlGroupLocked() string {
	if r.manager == 0 || r.status.ControlGroup == "" {
		return r.status.ControlGroup
	}
	return unit.ScopeGroup(r.manager, r.unit)
}

// endScope has the user's manager kill what the program of r left in its scope. PID 1
// does not: the control group is not of the unit. The user could keep what is there
// anyway, so that a failure is only told.
func (s *Server) endScope(ctx context.Context, r *record) {
	if r.manager == 0 {
		return
	}
	r.ending.Lock()
	defer r.ending.Unlock()
	if !s.populated(unit.ScopeGroup(r.manager, r.unit)) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	_, err := s.systemd.Start(ctx, unit.Ending(r.manager, r.unit))
	if err != nil && !errors.Is(err, systemd.ErrNotFound) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "cannot kill what a unit left in the service manager of its user",
			slog.String("BROKER_UNIT", r.unit), slog.Any("error", err))
	}
}

// populated is whether there are processes in a control group.
func (s *Server) populated(group string) bool {
	text, err := os.ReadFile(filepath.Join(s.cgroups, group, "cgroup.events"))
	return err == nil && strings.Contains(string(text), "populated 1")
}
