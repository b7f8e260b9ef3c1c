package sandbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// Users is a range of host user ids (and of group ids with the same numbers). Each interpreter has one of its own, so that
// the kernel's limits for each user (processes, descriptors in flight, pipes, watches, keys) apply to each script.
type Users struct{ First, Count uint32 }

// DefaultUsers are ids that neither distributions nor container engines assign (systemd's table of ids lists them as
// unused).
var DefaultUsers = Users{First: 1_900_000_000, Count: 200_000_000}

// ParseUsers reads FIRST-LAST. The empty text is the zero value.
func ParseUsers(text string) (Users, error) {
	if text == "" {
		return Users{}, nil
	}
	first, last, found := strings.Cut(text, "-")
	low, err1 := strconv.ParseUint(first, 10, 32)
	high, err2 := strconv.ParseUint(last, 10, 32)
	switch {
	case !found || err1 != nil || err2 != nil:
		return Users{}, fmt.Errorf("invalid range of user ids %q: expected FIRST-LAST, for example 1900000000-1999999999", text)
	case low == 0 || high < low || high >= 1<<31:
		return Users{}, fmt.Errorf(
			"invalid range of user ids %q: FIRST must be at least 1, LAST at least FIRST and below 2147483648", text)
	}
	return Users{First: uint32(low), Count: uint32(high - low + 1)}, nil
}

func (u Users) String() string { return fmt.Sprintf("%d-%d", u.First, u.First+u.Count-1) }

// block returns the ids of one worker, at a random position of the range so that two workers on one kernel do not share
// ids. A range of exactly the needed size is used as it is.
func (u Users) block(size uint32) (Users, error) {
	if u.Count < size {
		return Users{}, fmt.Errorf(
			"the range of user ids %s holds %d ids, this worker needs %d: widen --sandbox-users", u, u.Count, size)
	}
	at := u.First + rand.Uint32N(u.Count/size)*size //nolint:gosec // it separates workers and is not a secret
	return Users{First: at, Count: size}, nil
}

// usable returns the range to use: the configured one, or, when that is the default and this process's user namespace does
// not have it (a container with remapped users), the upper half of the largest range in the namespace.
func (u Users) usable() (Users, error) {
	if u != (Users{}) {
		return u, nil
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return Users{}, fmt.Errorf("read the user ids of this process's namespace: %w", err)
	}
	return DefaultUsers.within(text), nil
}

// within returns u when the uid_map contains all of it, and the upper half of the largest range of the map otherwise.
func (u Users) within(uidMap []byte) Users {
	var largest Users
	for line := range bytes.Lines(uidMap) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(string(line), &inside, &outside, &count); err != nil {
			continue
		}
		if inside <= uint64(u.First) && inside+count >= uint64(u.First)+uint64(u.Count) {
			return u
		}
		if count > uint64(largest.Count) {
			largest = Users{First: uint32(inside), Count: uint32(count)}
		}
	}
	return Users{First: largest.First + largest.Count/2, Count: largest.Count - largest.Count/2}
}
