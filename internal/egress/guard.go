package egress

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// denial is the reason why the policy denied a connection. The dialer's *net.OpError wraps it for the classifier. Its text
// may name addresses: it is for the log, never for a fault's message.
type denial struct {
	why       string
	allowable bool // whether the operator's allow list could change it
}

func (r *denial) Error() string { return "denied by egress policy: " + r.why }

func deny(allowable bool, format string, args ...any) *denial {
	return &denial{why: fmt.Sprintf(format, args...), allowable: allowable}
}

// metadata are the addresses of services that hand out credentials inside a cloud. No name and no range allows them,
// only an allow entry for the address itself.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), // link local: the metadata service of most clouds
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure WireServer: looks public but is not
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// permit returns the denial of one connect(2) by a request of this class (an allow entry, nil = public), nil when the
// policy allows the address.
func (p *policy) permit(class *entry, ap netip.AddrPort) *denial {
	addr := ap.Addr().Unmap()
	ap = netip.AddrPortFrom(addr, ap.Port())
	if contains(p.deny, addr) {
		return deny(false, "%s is on the operator's deny list", addr)
	}
	if class != nil && class.host != "" {
		if contains(metadata, addr) || addr.Zone() != "" {
			return deny(true, "a name resolves to the metadata address %s", addr)
		}
		return nil
	}
	for i := range p.entries {
		if p.entries[i].host == "" && p.covers(&p.entries[i], ap) {
			return nil
		}
	}
	if contains(metadata, addr) {
		return deny(true, "%s is a metadata address", addr)
	}
	if p.own.contains(addr) {
		return deny(true, "%s is an address of this machine", addr)
	}
	if err := p.public.SafeAddrPort(ap); err != nil {
		return deny(true, "%v", err)
	}
	return nil
}

// covers reports whether a prefix of the allow list includes an address. A range never includes sensitive addresses: an
// operator who lists 10.0.0.0/8 means the servers there, not the admin port of this process.
func (p *policy) covers(e *entry, ap netip.AddrPort) bool {
	if !e.coversPort(ap.Port()) || !e.prefix.Contains(ap.Addr()) {
		return false
	}
	return e.prefix.IsSingleIP() || !contains(metadata, ap.Addr()) && !p.own.contains(ap.Addr())
}

// ownAddresses caches the addresses of this machine's interfaces, except loopback. It reads them again after ownRefresh,
// because a laptop changes networks and a container gets a second one.
type ownAddresses struct {
	list func() ([]net.Addr, error)

	mu     sync.Mutex
	looked time.Time
	addrs  map[netip.Addr]struct{}
}

const ownRefresh = 30 * time.Second

// contains reports whether an address belongs to this machine. It reports true for every address until the interfaces could
// be read once, so that no address is allowed unchecked.
func (o *ownAddresses) contains(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.looked) > ownRefresh {
		o.refresh()
	}
	if o.addrs == nil {
		return true
	}
	_, ok := o.addrs[addr.WithZone("")]
	return ok
}

// refresh keeps the last known addresses when the interfaces cannot be read.
func (o *ownAddresses) refresh() {
	list, err := o.list()
	if err != nil {
		return
	}
	o.looked = time.Now()
	o.addrs = make(map[netip.Addr]struct{}, len(list))
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if addr := prefix.Addr().Unmap(); err == nil && !addr.IsLoopback() {
			o.addrs[addr.WithZone("")] = struct{}{}
		}
	}
}
