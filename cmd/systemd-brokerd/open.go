// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"nomad-systemd-driver/opening"
)

const openAbout = `Opens directories of the calling user, so that another user can remove what is in
them: systemd-brokerd open UID DIRECTORY…. The daemon runs it in the sandbox of a
unit that has ended, as the unit's user; UID is the user that it must be.`

func openDirectories(args []string, stderr io.Writer) error {
	flags := newFlags("systemd-brokerd open", openAbout, stderr)
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	uid, err := strconv.Atoi(flags.Arg(0))
	if err != nil || flags.NArg() < 2 {
		flags.Usage()
		return errUsage
	}
	// Directories that are not the user's would stay as they are.
	if uid != os.Geteuid() {
		return fmt.Errorf("the directories belong to uid %d, and this is uid %d", uid, os.Geteuid())
	}
	return opening.Open(flags.Args()[1:]...)
}
