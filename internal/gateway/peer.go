package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is the address that a request really comes from. X-Forwarded-For is believed only as far as trusted proxies wrote it:
// read from its end, the first address that is none of theirs is the sender.
func (o Options) peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !o.trusts(address) {
			return address
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return address
		}
		address = before.Unmap().WithZone("")
	}
	return address
}

func (o Options) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(o.Proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}
