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
	"github.com/hookturn/hookturn/internal/socket"
)

// openSocket returns a new websocket of a request whose token, in the path or in the Authorization header, opens a channel.
func (o Options) openSocket(w http.ResponseWriter, r *http.Request) {
	ch, ok := o.channel(w, r, cmp.Or(r.PathValue("token"), bearer(r)))
	if !ok || !permitted(w, ch, bot.UseWS) {
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		refuse(w, http.StatusUpgradeRequired, "", "this address is for websockets")
		return
	}
	if !o.welcomes(r) {
		refuse(w, http.StatusForbidden, fault.Blocked, "the web origin of the page may not open websockets here")
		return
	}
	err := o.Sockets.Accept(w, r, ch, o.peer(r))
	switch {
	case errors.Is(err, socket.ErrFull):
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusTooManyRequests, fault.RateLimited, err.Error())
	case err != nil:
		refuseFor(w, time.Second, fault.Internal, err.Error())
	}
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
