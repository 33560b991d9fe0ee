// SPDX-License-Identifier: MPL-2.0

package users

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nomad-systemd-driver/broker/policy"
)

// The fields of the two files that are read; see passwd(5) and group(5).
const (
	fieldName = 0
	fieldID   = 2
	// fieldGID is the primary group, in passwd.
	fieldGID = 3
	// fieldMembers is a list of user names, in group.
	fieldMembers = 3
)

func parse(passwdName string, passwd []byte, groupName string, group []byte) (*Users, error) {
	u := &Users{users: map[string]policy.User{}, groups: map[string]uint32{}, groupNames: map[uint32]string{}}
	if err := eachLine(passwdName, passwd, 7, u.addUser); err != nil {
		return nil, err
	}
	if err := eachLine(groupName, group, 4, u.addGroup); err != nil {
		return nil, err
	}
	return u, nil
}

// eachLine calls add with the fields of each entry. It leaves out what the C
// library leaves out: empty lines, comments, and the + and - lines of NIS.
func eachLine(file string, text []byte, fields int, add func([]string) error) error {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimLeft(line, " \t") == "" || strings.ContainsRune("#+-", rune(line[0])) {
			continue
		}
		entry := strings.Split(line, ":")
		err := fmt.Errorf("it has %d fields instead of %d", len(entry), fields)
		if len(entry) == fields {
			err = add(entry)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w; correct the line (pwck and grpck help)", file, n, err)
		}
	}
	return nil
}

func (u *Users) addUser(entry []string) error {
	name := entry[fieldName]
	uid, err := id("uid", entry[fieldID])
	if err != nil {
		return err
	}
	gid, err := id("gid", entry[fieldGID])
	if err != nil {
		return err
	}
	if _, again := u.users[name]; again || !plain(name) {
		return fmt.Errorf("the name %q is there twice, or cannot be a name", name)
	}
	u.users[name] = policy.User{Name: name, UID: uid, GID: gid}
	return nil
}

// addGroup adds a group, and adds it to the users that are its members. The
// members that do not exist are of no interest.
func (u *Users) addGroup(entry []string) error {
	name := entry[fieldName]
	gid, err := id("gid", entry[fieldID])
	if err != nil {
		return err
	}
	if _, again := u.groups[name]; again || !plain(name) {
		return fmt.Errorf("the name %q is there twice, or cannot be a name", name)
	}
	u.groups[name] = gid
	if _, again := u.groupNames[gid]; !again {
		u.groupNames[gid] = name
	}
	for member := range strings.SplitSeq(entry[fieldMembers], ",") {
		member = strings.Trim(member, " \t")
		user, ok := u.users[member]
		if ok && gid != user.GID && !slices.ContainsFunc(user.Groups, func(g policy.Group) bool { return g.GID == gid }) {
			user.Groups = append(user.Groups, policy.Group{Name: name, GID: gid})
			u.users[member] = user
		}
	}
	return nil
}

// plain is a name that is one word.
func plain(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// id reads a uid or gid. The highest number stands for "no change" in the
// kernel and is nobody's.
func id(what, text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, fmt.Errorf("the %s %q is not a number from 0 to %d", what, text, uint32(math.MaxUint32-1))
	}
	return uint32(n), nil
}
