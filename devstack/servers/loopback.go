package servers

import (
	"fmt"
	"net"
	"strconv"

	"github.com/hookturn/hookturn/internal/freeport"
)

// loopback4 is the host on which servers listen by default.
const loopback4 = "127.0.0.1"

// address is a host:port pair with the port already chosen.
type address struct {
	IP   string
	Port int
}

func (a address) String() string { return net.JoinHostPort(a.IP, strconv.Itoa(a.Port)) }

// freeAddress returns an unused loopback address that the system assigns to no other process.
func freeAddress() address { return address{IP: loopback4, Port: freeport.Choose()} }

// parseLoopback parses host:port and chooses a port for port 0; empty means any port on 127.0.0.1.
func parseLoopback(addr string) (address, error) {
	if addr == "" {
		return freeAddress(), nil
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
	if tcp.Port == 0 {
		tcp.Port = freeport.Choose()
	}
	return address{IP: tcp.IP.String(), Port: tcp.Port}, nil
}

// claimLoopback parses addr as parseLoopback does and checks that a listener can use it. The servers that need it end the
// whole process when they cannot listen, so the check must come before their start.
func claimLoopback(addr string) (address, error) {
	parsed, err := parseLoopback(addr)
	if err != nil {
		return address{}, err
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
