package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Peer returns the address that a request really comes from. X-Forwarded-For is believed only as far as trusted proxies
// wrote it: read from its end, the first address that does not belong to a trusted proxy is the sender.
func Peer(r *http.Request, proxies []netip.Prefix) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) }) {
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
