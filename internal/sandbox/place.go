package sandbox

import (
	"errors"
	"fmt"
	"os"
)

// place is what one interpreter has for itself on this machine: a user id, and a group of control groups where there
// are any.
type place struct {
	user    uint32 // in the zygote's user namespace, from 1
	cgroups cgroups
}

// places are all that a worker has. A place is free again when the last process of its interpreter is gone.
type places struct {
	users Users // of the host; the zygote itself is the first
	free  chan place
	root  *cgroupRoot
}

var errNoPlace = errors.New("no free user id for an interpreter: the ones before have not ended")

// newPlaces makes so many places.
func newPlaces(o Options, count int) (*places, error) {
	users, err := o.Users.usable()
	if err != nil {
		return nil, err
	}
	if users, err = users.block(uint32(count) + 1); err != nil {
		return nil, err
	}
	p := &places{users: users, free: make(chan place, count)}
	if p.root, err = findCgroups(o.Cgroup); err != nil {
		return nil, err
	}
	for user := range uint32(count) {
		group, err := p.root.make(fmt.Sprintf("script-%d", user+1), limitsOfScript)
		if err != nil {
			p.close()
			return nil, err
		}
		p.free <- place{user: user + 1, cgroups: group}
	}
	return p, nil
}

// take gives a free place.
func (p *places) take() (place, error) {
	select {
	case one := <-p.free:
		return one, nil
	default:
		return place{}, errNoPlace
	}
}

// close removes the control groups. Interpreters must have ended.
func (p *places) close() { p.root.remove() }

// open gives the files by which a cell enters its control groups.
func (p place) open() ([]*os.File, error) { return p.cgroups.open() }
