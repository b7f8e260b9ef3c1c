package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"code.dny.dev/ssrf"

	"github.com/hookturn/hookturn/internal/fault"
)

// policy holds the parsed address rules of Options. It has one class for the public internet, numbered 0, and one for each
// allow entry, numbered from 1.
type policy struct {
	plainHTTP bool
	ports     []uint16
	entries   []entry
	deny      []netip.Prefix
	own       *ownAddresses
	public    *ssrf.Guardian
}

// newPolicy returns a new policy of options that have their defaults.
func newPolicy(o Options) (*policy, error) {
	p := &policy{
		plainHTTP: o.AllowPlainHTTP,
		ports:     o.Ports,
		own:       &ownAddresses{list: net.InterfaceAddrs},
		public:    ssrf.New(ssrf.WithPorts(o.Ports...)),
	}
	for _, text := range o.Allow {
		e, err := parseEntry(text)
		if err != nil {
			return nil, err
		}
		p.entries = append(p.entries, e)
	}
	if o.AllowLoopback {
		p.entries = append(p.entries, entry{host: "localhost"},
			entry{prefix: netip.MustParsePrefix("127.0.0.0/8")}, entry{prefix: netip.MustParsePrefix("::1/128")})
	}
	for _, text := range o.Deny {
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("egress: deny entry %q: %w", text, err)
		}
		p.deny = append(p.deny, prefix)
	}
	return p, nil
}

// entry returns the allow entry of a class, nil for the public one.
func (p *policy) entry(class int) *entry {
	if class == 0 {
		return nil
	}
	return &p.entries[class-1]
}

// place is where a request goes: a host name or, when addr is valid, an address.
type place struct {
	host string
	addr netip.Addr
	port uint16
}

// String is the host with its port, in the form of an allow entry.
func (l place) String() string { return net.JoinHostPort(l.host, fmt.Sprint(l.port)) }

// class returns the policy class of a place. It checks addresses, so that loading a bot file reports a denied one; permit
// checks names once they are resolved.
func (p *policy) class(l place) (int, *fault.Fault) {
	for i := range p.entries {
		e := &p.entries[i]
		if e.host == "" && l.addr.IsValid() && p.covers(e, netip.AddrPortFrom(l.addr, l.port)) ||
			e.host != "" && e.host == l.host && e.coversPort(l.port) {
			return i + 1, nil
		}
	}
	if l.addr.IsValid() {
		if r := p.permit(nil, netip.AddrPortFrom(l.addr, l.port)); r != nil {
			return 0, blocked(l, r)
		}
		return 0, nil
	}
	if !p.portForNames(l.port) {
		return 0, fault.New(fault.Blocked, "port %d of host %s is not allowed: use one of %s, or ask the operator to list it: "+
			"--egress-allow %s", l.port, l.host, p.portNames(), l)
	}
	return 0, nil
}

// portForNames reports whether any address that a name may have could be reached on a port.
func (p *policy) portForNames(port uint16) bool {
	return slices.Contains(p.ports, port) || slices.ContainsFunc(p.entries, func(e entry) bool {
		return e.host == "" && e.coversPort(port)
	})
}

func (p *policy) portNames() string {
	names := make([]string, len(p.ports))
	for i, port := range p.ports {
		names[i] = fmt.Sprint(port)
	}
	return strings.Join(names, ", ")
}

// blocked returns the fault for a denial. The message does not contain the address of a name, so that a bot builder cannot
// map the operator's network.
func blocked(l place, r *denial) *fault.Fault {
	if !r.allowable {
		return fault.Wrap(fault.Blocked, r, "host %s is on the operator's deny list", l.host)
	}
	return fault.Wrap(fault.Blocked, r, "host %s is not on the public internet, or its port is not allowed: ask the "+
		"operator to list it: --egress-allow %s", l.host, l)
}
