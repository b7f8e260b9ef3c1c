package gateway

import (
	"net/http"
	"net/netip"

	"github.com/hookturn/hookturn/internal/httpapi"
)

// peer is the address that a request to the gateway really comes from.
func (o Options) peer(r *http.Request) netip.Addr { return httpapi.Peer(r, o.Proxies) }
