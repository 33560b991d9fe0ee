// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// Limits of a policy directory. They bound what a load costs, whatever the
// files hold.
const (
	maxFiles      = 256
	maxFileBytes  = 1 << 20
	maxTotalBytes = 8 << 20
)

// Load reads each file named *.hcl in the root of fsys, hidden ones and tests
// (*.policytest.hcl) aside, and
// makes one policy of them, with the profiles in the root of profiles, which may
// be nil, and those that every broker has. It reads each file once; the policy is
// that snapshot. Names become numbers here and now. Anything it does not
// understand is an error, and there is no policy then. An error in a file is a
// [*LoadError].
func Load(fsys fs.FS, names Resolver, profiles fs.FS) (*Policy, error) {
	return LoadWith(fsys, names, profiles, "", nil)
}

// LoadWith is Load of one more file, unless its name is empty.
func LoadWith(fsys fs.FS, names Resolver, profiles fs.FS, more string, text []byte) (*Policy, error) {
	files, err := readFiles(fsys, ".hcl")
	if err != nil {
		return nil, err
	}
	if more != "" {
		files = append(files, &source{name: more, text: text})
	}
	if len(files) == 0 {
		return nil, errors.New("the policy directory holds no file named *.hcl; write one, or install the starter policy")
	}
	set, profileFiles, err := readProfiles(profiles)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := f.parse(); err != nil {
			return nil, err
		}
	}
	p, err := compile(files, names, set)
	if err != nil {
		return nil, err
	}
	p.sha256 = digest(slices.Concat(files, profileFiles))
	return p, nil
}

// readFiles reads the files with this suffix, sorted by name.
func readFiles(fsys fs.FS, suffix string) ([]*source, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy directory: %w", err)
	}
	var files []*source
	total := 0
	for _, e := range entries {
		test := strings.HasSuffix(e.Name(), testSuffix)
		if !strings.HasSuffix(e.Name(), suffix) || strings.HasPrefix(e.Name(), ".") || test != (suffix == testSuffix) {
			continue
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("the policy directory holds more than %d files named *%s; join some", maxFiles, suffix)
		}
		text, err := readFile(fsys, e)
		if err != nil {
			return nil, &LoadError{File: e.Name(), Problem: err.Error()}
		}
		if total += len(text); total > maxTotalBytes {
			return nil, fmt.Errorf("the policy's files hold more than %d bytes together; shorten them", maxTotalBytes)
		}
		files = append(files, &source{name: e.Name(), text: text})
	}
	return files, nil
}

func readFile(fsys fs.FS, e fs.DirEntry) ([]byte, error) {
	// Opening a FIFO would wait for a writer; a symlink leads to somebody else's file.
	if !e.Type().IsRegular() {
		return nil, fmt.Errorf("is not a regular file but %s; put the file itself here", fs.FormatDirEntry(e))
	}
	f, err := fsys.Open(e.Name())
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes; split it", maxFileBytes)
	}
	return text, nil
}

// digest hashes names and contents, each with its length before it, so that no
// two policies look alike.
func digest(files []*source) string {
	h := sha256.New()
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%d:%s%d:", len(f.name), f.name, len(f.text))
		_, _ = h.Write(f.text)
	}
	return hex.EncodeToString(h.Sum(nil))
}
