package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/socket"
)

// openSocket upgrades a request whose token, in the path or in the Authorization header, opens a channel.
func (o Options) openSocket(w http.ResponseWriter, r *http.Request) error {
	token := cmp.Or(r.PathValue("token"), httpapi.Bearer(r))
	ch, err := o.channel(r, token)
	if err != nil {
		return err
	}
	if err := permitted(ch, bot.UseWS); err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return httpapi.Reject(http.StatusUpgradeRequired, "", "this path accepts WebSocket connections only").
			With("Upgrade", "websocket")
	}
	if !o.welcomes(r) {
		return httpapi.Reject(http.StatusForbidden, fault.Blocked,
			"the web origin of the page is not allowed: ask the operator to list it (--gateway-origins)")
	}
	err = o.Sockets.Accept(w, r, ch, o.socketClient(ch.Tenant, token, o.peer(r)))
	switch {
	case errors.Is(err, socket.ErrFull):
		return httpapi.Reject(http.StatusTooManyRequests, fault.RateLimited, err.Error()).With("Retry-After", "10")
	case err != nil:
		return httpapi.RejectFor(time.Second, fault.Internal, err.Error())
	}
	return nil
}

// socketClient returns the client that a token and a sender's address stand for. The token itself is not kept.
func (o Options) socketClient(tenant, token string, sender netip.Addr) socket.Client {
	sum := httpapi.DigestOf(token)
	return socket.Client{Sender: sender, Channel: func() (*bot.Channel, bool) {
		ch, ok := o.Channels.ByToken(sum)
		return ch, ok && ch.Admits(sender) && ch.Lacks(bot.UseWS) == ""
	}, Enter: func(bytes int) (release func(), ok bool) {
		release, err := o.takePlaces(o.requests, tenant, placesFor(int64(bytes)))
		return release, err == nil
	}}
}

// welcomes reports whether a page may open a WebSocket: clients other than browsers send no Origin header.
func (o Options) welcomes(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return origin == "" || slices.Contains(o.Origins, "*") || slices.Contains(o.Origins, origin) || httpapi.SameHost(r, origin)
}
