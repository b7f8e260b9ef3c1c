package sandbox

import (
	"errors"
	"fmt"
	"os"
)

// place holds the resources of one interpreter: a user id, and its control groups when the worker has any.
type place struct {
	user    uint32 // in the zygote's user namespace, from 1
	cgroups cgroups
}

// places are all places of a worker. A place is free again after the last process of its interpreter ended.
type places struct {
	users Users // of the host; the zygote has the first
	free  chan place
	root  *cgroupRoot
}

var errNoPlace = errors.New("no free user id for an interpreter: earlier interpreters have not ended yet")

// newPlaces returns new places for count interpreters.
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

// take returns a free place.
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

// open returns the files through which a process enters its control groups.
func (p place) open() ([]*os.File, error) { return p.cgroups.open() }
