// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"nomad-systemd-driver/broker/policy"
	"nomad-systemd-driver/broker/systemd"
	"nomad-systemd-driver/broker/unit"
)

// startError is a start that policy allowed and the host could not do.
type startError struct {
	text string
}

// Error implements error.
func (e *startError) Error() string { return e.text }

// steps words the exit statuses with which systemd says which step of starting
// a program failed (systemd.exec(5), "Process Exit Codes").
var steps = map[int32]string{
	200: "cannot change to the working directory {wd}",
	202: "cannot pass the log descriptors",
	203: "cannot execute {command}",
	205: "cannot set the resource limits",
	208: "cannot set up standard input",
	209: "cannot set up standard output",
	216: "cannot switch to the group",
	217: "cannot switch to the user: systemd does not find it in the user database; or, for a task without a user, all uids of systemd's range (" + unit.DynamicRange + ") are taken: stop tasks or set user; or the profile has PrivateUsers=yes and the host no user namespaces (sysctl user.max_user_namespaces)",
	218: "cannot set the capabilities",
	219: "cannot set up the control group",
	222: "cannot set up standard error",
	226: "cannot set up the view of the file system",
	228: "cannot install the system call filter",
	229: "cannot set the SELinux context",
	237: "cannot set up the keyring",
	242: "cannot set the NUMA policy",
	243: "cannot set up the credentials",
}

// explainStart turns systemd's account of a failed start into a sentence that
// names the step and the value, and clears what the failure left in PID 1.
func (s *Server) explainStart(ctx context.Context, d *policy.Decision, name string, err error) error {
	if m, ok := errors.AsType[*systemd.MismatchError](err); ok {
		return fmt.Errorf("systemd did not do as it was asked, so the unit is ended: %w; a drop-in for its slice or service may be the cause (systemctl cat %s)", err, m.Unit)
	}
	var failed *systemd.StartError
	if !errors.As(err, &failed) {
		return err
	}
	explained := &startError{explain(d.Request(), d.Client().AllocRoot, failed)}
	if rerr := s.systemd.ResetFailed(ctx, name); rerr != nil && !errors.Is(rerr, systemd.ErrNotFound) {
		return fmt.Errorf("%w (%w: %w)", explained, errLeft, rerr)
	}
	return explained
}

func explain(r *policy.Request, allocRoot string, failed *systemd.StartError) string {
	st := failed.Status
	wd := r.WorkingDirectory
	if wd == "" {
		wd = "/local"
	}
	step, ok := steps[st.ExecMainStatus]
	if !ok || st.ExecMainCode != cldExited {
		return fmt.Sprintf("systemd could not start the unit: job %s, result %s, status %d; see journalctl -u %s",
			failed.JobResult, st.Result, st.ExecMainStatus, failed.Unit)
	}
	text := strings.NewReplacer("{command}", explainPath(r.Command), "{wd}", wd).Replace(step)
	if st.ExecMainStatus == 203 {
		text += ": it does not exist in the task's view, is not executable, or its interpreter or loader is missing; " +
			viewText[r.Rootfs.Kind] + unseen(r, allocRoot, path.Dir(r.Command))
	}
	if st.ExecMainStatus == 200 {
		text += unseen(r, allocRoot, wd)
	}
	if st.ExecMainStatus == 226 && r.Rootfs.Kind == policy.RootfsImage {
		text += ": " + explainImage(r.Rootfs)
	}
	if st.ExecMainStatus == 226 && r.UserManager {
		text += fmt.Sprintf("; the service manager of user %s perhaps cannot be started: see systemctl status 'user@*'", r.User)
	}
	if i := slices.IndexFunc(r.Volumes, func(v policy.Volume) bool { return v.Image }); st.ExecMainStatus == 226 && i >= 0 {
		text += fmt.Sprintf("; an image of mount_images, such as %s, is perhaps corrupt or of a kind that this host does not know", quote(r.Volumes[i].Source))
	}
	return fmt.Sprintf("%s (systemd: %d/%s); see journalctl -u %s", text, st.ExecMainStatus, st.Result, failed.Unit)
}

// viewText is what the view of a unit holds, for who looks for a file in it.
var viewText = map[policy.RootfsKind]string{
	"":                   viewOfMinimal,
	policy.RootfsMinimal: viewOfMinimal,
	policy.RootfsHost:    "the view holds all of the host but /run and /tmp, and /local, /alloc and /secrets of the task",
	policy.RootfsImage:   "the view holds the image, and /local, /alloc and /secrets of the task",
}

const viewOfMinimal = "the view holds the host's /usr, and /local, /alloc and /secrets of the task"

// checkCommand looks for programs of the host before systemd does, to say what
// is wrong with them in so many words. It looks below /usr only, where no
// client can change anything, and which images have of their own; a program
// below /local or /alloc is found, or not, by the task's own user in its own view.
func (s *Server) checkCommand(r *policy.Request) error {
	command := r.Command
	if !strings.HasPrefix(command, "/usr/") || r.Rootfs.Kind == policy.RootfsImage {
		return nil
	}
	info, err := os.Stat(command)
	switch {
	case err != nil:
		return &startError{fmt.Sprintf("command %q does not exist on this host; install it, or bring it along with an artifact block and name it relative to local/", command)}
	case !info.Mode().IsRegular():
		return &startError{fmt.Sprintf("command %q is not a file", command)}
	case info.Mode().Perm()&0o111 == 0:
		return &startError{fmt.Sprintf("command %q is not executable (mode %04o)", command, info.Mode().Perm())}
	}
	return nil
}
