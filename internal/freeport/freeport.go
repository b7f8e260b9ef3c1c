// Package freeport chooses ports of 127.0.0.1 for servers that listen later than the port is chosen, or stop and start
// again at it.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
)

// Ports are chosen from first up to last, or up to what the system assigns to connections and to listeners without a port
// where that begins lower. Linux begins at 32,768 unless it is configured otherwise (net.ipv4.ip_local_port_range).
const (
	first = 10_000
	last  = 32_000
	// lowest is the least first port where the system leaves few ports between first and its own.
	lowest = 2_000
	// fewest is the least number of ports to choose from.
	fewest = 2_000
)

// golden is 2^32 divided by the golden ratio. Its multiples spread processes with neighbouring ids over the ports: the
// places of any n of them in a row are about evenly apart.
const golden = 2_654_435_769

// start returns the place of a process among size ports, at which it begins to choose.
func start(pid, size int) int {
	return int(uint64(uint32(pid)*golden) * uint64(size) >> 32)
}

// chooser steps through the ports.
type chooser struct {
	mu     sync.Mutex
	steps  int
	claims map[int]net.Listener // its own; a listener is nil where the system does not have claims
	free   func(port int) bool  // reports whether no process listens on a port
}

func newChooser() *chooser { return &chooser{claims: map[int]net.Listener{}, free: free} }

var ports = newChooser()

// Choose returns a port that no process listens on and that was not given before, in this process and, on Linux, in any
// other that runs. The system assigns it to no process: a port that the system chose may be taken by another process between
// its choice and its use. It panics when all ports are in use.
func Choose() int {
	from, to := bounds(systemPorts())
	return ports.choose(from, to)
}

func (c *chooser) choose(from, to int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := to - from
	for range size {
		port := from + (start(os.Getpid(), size)+c.steps)%size
		c.steps++
		if _, given := c.claims[port]; given {
			continue
		}
		claimed, err := claim(port) // before the port is tried, which would keep its owner from listening there
		if err != nil {
			continue
		}
		if c.free(port) {
			c.claims[port] = claimed
			return port
		}
		if claimed != nil {
			_ = claimed.Close()
		}
	}
	panic(fmt.Sprintf("no port of 127.0.0.1 from %d to %d is free", from, to-1))
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return err == nil && l.Close() == nil
}

// claim reserves a port among the processes that use this package until this process ends: it listens on an abstract
// socket, which has a name and no file.
func claim(port int) (net.Listener, error) {
	if runtime.GOOS != "linux" {
		return nil, nil //nolint:nilnil // no claim
	}
	return net.Listen("unix", fmt.Sprintf("@hookturn-port-%d", port))
}

// bounds returns the first port and the one after the last, for a system that assigns the ports from low on.
func bounds(low int, err error) (from, to int) {
	if err != nil || low < lowest+fewest { // not known, or the system leaves no room
		return first, last
	}
	to = min(last, low)
	return max(lowest, min(first, to-fewest)), to
}

// systemPorts returns the first port that the system assigns.
func systemPorts() (low int, err error) {
	limits, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if errors.Is(err, os.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(limits), &low)
	return low, err
}
