package socket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// tenantSubs bounds the subscriptions of one tenant in one process.
const tenantSubs = 10_000

// claimTimeout bounds the wait for a claim on a notice.
const claimTimeout = 2 * time.Second

// Values of the metric's label share.
const (
	shareNotices       = "notices" // event notifications of subscriber channels
	shareSubscriptions = "subscriptions"
)

// audience is the connections of one process that subscribe to notices of one bot.
type audience struct {
	stop    func()
	members map[*connection]int // how many subscriptions each has
	invalid rate.Sometimes      // bounds the log lines about notices that are dropped: who publishes decides their number
}

// follow counts one subscription of a connection until stop is called. The first one of a bot subscribes to all notices of
// the bot. NATS sends each notice to this process once, however many subscriptions match: with a subscription on NATS for
// each, a single notice could exceed what the server queues for the connection, which serves all tenants.
func (h *Hub) follow(c *connection) (stop func(), err error) {
	owner := c.of.bot
	release, ok := h.subscriptions.Take(owner.Tenant, tenantSubs)
	if !ok {
		h.Count.ShareExceeded(owner.Tenant, shareSubscriptions)
		return nil, fault.New(fault.RateLimited, "a tenant has at most %d subscriptions at one gateway", tenantSubs)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.audiences[owner]
	if a == nil {
		a = &audience{members: map[*connection]int{}, invalid: rate.Sometimes{First: 1, Interval: time.Minute}}
		a.stop, err = h.Bus.Notices(owner, ">", func(class string, text []byte) { h.receive(a, owner, class, text) })
		if err != nil {
			release()
			return nil, err
		}
		h.audiences[owner] = a
	}
	a.members[c]++
	return func() {
		release()
		h.mu.Lock()
		defer h.mu.Unlock()
		if a.members[c]--; a.members[c] == 0 {
			delete(a.members, c)
		}
		if len(a.members) == 0 {
			a.stop()
			delete(h.audiences, owner)
		}
	}, nil
}

// membersOf returns the connections here that subscribe to notices of a bot.
func (h *Hub) membersOf(owner schemas.BotID) []*connection {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.audiences[owner]; a != nil {
		return slices.Collect(maps.Keys(a.members))
	}
	return nil
}

// receive forwards an event notification. A subscription receives it once, however many of its classes match; a subscriber
// channel receives it once in total, on one of its connections in turn.
func (h *Hub) receive(a *audience, owner schemas.BotID, class string, text []byte) {
	var n schemas.Notice
	if len(text) > schemas.NoticeMax || json.Unmarshal(text, &n) != nil || n.ID == "" {
		a.invalid.Do(func() {
			h.Log.Warn("event notification dropped: not a valid CloudEvents event, or too large", "tenant", owner.Tenant,
				"bot", owner.Bot, "class", class, "bytes", len(text))
		})
		return
	}
	channels := map[identity]*bot.Channel{}
	for _, c := range h.membersOf(owner) {
		wanted := c.wanting(class, n)
		if ch := c.channel(); ch.Type == bot.ChannelSubscriber && len(wanted) > 0 {
			channels[c.of] = ch
			continue
		}
		for _, s := range wanted {
			_ = c.pass(s, class, n) // a disconnected client receives nothing
		}
	}
	var passing sync.WaitGroup
	for _, ch := range channels {
		passing.Go(func() { h.passOnce(ch, class, n) })
	}
	passing.Wait()
}

// passOnce forwards a notice to one connection of a subscriber channel. Every process with a connection that wants it runs
// this; the one that claims the notice forwards it. A process that stops claims none: another one may have a connection
// that stays.
func (h *Hub) passOnce(ch *bot.Channel, class string, n schemas.Notice) {
	if !h.beginPassing() {
		return
	}
	defer h.passing.Done()
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte(ch.Tenant + "\n" + ch.Bot + "\n" + ch.ID + "\n" + class + "\n" + n.ID))
	mine, err := h.Claims.Claim(ctx, ch.Tenant, hex.EncodeToString(sum[:]))
	if beyond := fault.Of(err); beyond != nil && beyond.Kind == fault.RateLimited {
		h.Count.ShareExceeded(ch.Tenant, shareNotices)
		return
	}
	if err != nil {
		h.Log.Warn("event notification lost, claiming failed", "channel", ch.Code, "error", err)
		return
	}
	if !mine {
		return
	}
	for _, c := range h.turn(identityOf(ch)) {
		if wanted := c.wanting(class, n); len(wanted) > 0 && c.pass(wanted[0], class, n) == nil {
			return
		}
	}
	h.Log.Warn("event notification lost, the connections that wanted it ended", "channel", ch.Code, "event", n.ID)
}
