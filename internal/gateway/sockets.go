package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/socket"
)

// openSocket returns a new websocket of a request whose token, in the path or in the Authorization header, opens a channel.
func (o Options) openSocket(w http.ResponseWriter, r *http.Request) error {
	ch, err := o.channel(r, cmp.Or(r.PathValue("token"), httpapi.Bearer(r)))
	if err != nil {
		return err
	}
	if err := permitted(ch, bot.UseWS); err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return httpapi.Reject(http.StatusUpgradeRequired, "", "this address is for websockets").With("Upgrade", "websocket")
	}
	if !o.welcomes(r) {
		return httpapi.Reject(http.StatusForbidden, fault.Blocked, "the web origin of the page may not open websockets here")
	}
	err = o.Sockets.Accept(w, r, ch, o.peer(r))
	switch {
	case errors.Is(err, socket.ErrFull):
		return httpapi.Reject(http.StatusTooManyRequests, fault.RateLimited, err.Error()).With("Retry-After", "10")
	case err != nil:
		return httpapi.RejectFor(time.Second, fault.Internal, err.Error())
	}
	return nil
}

// welcomes reports whether a page may open a WebSocket: clients other than browsers send no Origin header.
func (o Options) welcomes(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(o.Origins, "*") || slices.Contains(o.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
