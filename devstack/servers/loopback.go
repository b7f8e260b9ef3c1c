package servers

import (
	"fmt"
	"net"
	"strconv"

	"go.temporal.io/server/common/testing/freeport"
)

// loopback4 is where servers listen when the caller names no host.
const loopback4 = "127.0.0.1"

// address is a host:port pair with the port already chosen.
type address struct {
	IP   string
	Port int
}

func (a address) String() string { return net.JoinHostPort(a.IP, strconv.Itoa(a.Port)) }

// freeAddress is a loopback address that nobody listens on and that the system gives to nobody else for a while.
func freeAddress() address { return address{IP: loopback4, Port: freeport.MustGetFreePort()} }

// parseLoopback reads host:port; empty means any port on 127.0.0.1. Port 0 is kept as it is.
func parseLoopback(addr string) (address, error) {
	if addr == "" {
		return address{IP: loopback4}, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return address{}, fmt.Errorf("address %q: %w", addr, err)
	}
	if tcp.IP == nil {
		tcp.IP = net.ParseIP(loopback4)
	}
	if !tcp.IP.IsLoopback() {
		return address{}, fmt.Errorf("address %q is not on the loopback interface; use %s", addr, loopback4)
	}
	return address{IP: tcp.IP.String(), Port: tcp.Port}, nil
}

// claimLoopback parses addr, chooses a port where none is given, and makes sure that it can be listened on. The servers
// that use it end the whole process when they cannot listen, so the question must be asked before they start.
func claimLoopback(addr string) (address, error) {
	parsed, err := parseLoopback(addr)
	if err != nil {
		return address{}, err
	}
	if parsed.Port == 0 {
		parsed.Port = freeport.MustGetFreePort()
	}
	listener, err := net.Listen("tcp", parsed.String())
	if err != nil {
		return address{}, fmt.Errorf("cannot listen on %s: %w", parsed, err)
	}
	if err := listener.Close(); err != nil {
		return address{}, fmt.Errorf("release %s: %w", parsed, err)
	}
	return parsed, nil
}
