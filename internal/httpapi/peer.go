package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Peer returns the address that a request really comes from. X-Forwarded-For is believed only as far as trusted proxies
// wrote it: read from its end, the first address that does not belong to a trusted proxy is the sender. Without the header
// that is the proxy itself. An invalid address: the sender is not known, because a trusted proxy wrote something that is not
// an address; the proxy's own address in its place would pass as one of the operator's network.
func Peer(r *http.Request, proxies []netip.Prefix) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := at.Addr().Unmap()
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if strings.Trim(forwarded, ", \t") == "" {
		return address
	}
	for _, hop := range slices.Backward(strings.Split(forwarded, ",")) {
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) }) {
			return address
		}
		if address = hopAddress(strings.TrimSpace(hop)); !address.IsValid() {
			return address
		}
	}
	return address
}

// hopAddress reads the address of a hop: as it is, or with brackets or a port, as some load balancers write it. It is
// invalid when it cannot be read.
func hopAddress(hop string) netip.Addr {
	address, err := netip.ParseAddr(hop)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(hop); err != nil {
			withPort, err = netip.ParseAddrPort(hop + ":0") // [2001:db8::7]
		}
		address = withPort.Addr()
	}
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}
