// SPDX-License-Identifier: MPL-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkMapping: what a task makes belongs to the agent on disk where ids can be mapped.
// Elsewhere all works too, with a process more when a task is over.
func (h *Host) checkMapping(context.Context) Finding {
	if h.PolicyError != nil {
		return skipped("the policy cannot be loaded")
	}
	if h.Mappable == nil || os.Getuid() != 0 {
		return skipped("only root can try whether ids can be mapped")
	}
	var seen []string
	for _, c := range h.Policy.Clients() {
		dir, ok, kind, err := h.mappable(c.AllocRoot)
		if err != nil {
			return skipped("alloc_root of client %q: %v", c.Name, err)
		}
		if !ok {
			return warning("none is needed; ext4, xfs and btrfs map ids, and tmpfs from Linux 6.3 on",
				"%s, where tasks of client %q live, is on %s, which maps no ids: what a task leaves is opened by its own user before the agent removes it", dir, c.Name, kind)
		}
		seen = append(seen, fmt.Sprintf("%s (%s)", dir, kind))
	}
	return good("ids are mapped in %s", strings.Join(seen, ", "))
}

// mappable asks of dir, or of the directory in which it will be made.
func (h *Host) mappable(dir string) (at string, ok bool, kind string, err error) {
	for at = dir; ; at = filepath.Dir(at) {
		ok, kind, err = h.Mappable(h.path(at))
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return at, ok, kind, err
		}
	}
}
