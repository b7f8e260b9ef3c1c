package socket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Bounds of a subscription.
const (
	expiresMax     = 3600 // seconds
	expiresDefault = 300
	classesMax     = 16
	claimTimeout   = 2 * time.Second
)

// subscription is what one connection wants to hear.
type subscription struct {
	id      string
	classes []string // patterns, as in NATS: * is one word, > the rest
	objects []string // none: all
	stops   []func()
	timer   *time.Timer
}

func (s *subscription) end() {
	s.timer.Stop()
	for _, stop := range s.stops {
		stop()
	}
}

// first is the first of the subscription's patterns that a class matches.
func (s *subscription) first(class string) string {
	at := slices.IndexFunc(s.classes, func(p string) bool { return matches(p, class) })
	if at < 0 {
		return ""
	}
	return s.classes[at]
}

// wants reports whether a notice is one of the subscription's.
func (s *subscription) wants(class string, n schemas.Notice) bool {
	return s.first(class) != "" && (len(s.objects) == 0 || slices.Contains(s.objects, n.Subject))
}

// subscribe begins, renews (the same id again) or ends (expires 0) a subscription.
func (c *connection) subscribe(_ context.Context, asked call) (result, error) {
	if role := c.channel.Lacks(bot.UseSubscriptions); role != "" && !asked.ends() {
		return nil, fault.New(fault.Blocked, "the channel does not have the role %s", role)
	}
	id, err := asked.text("id")
	if err != nil {
		return nil, err
	}
	expires, err := asked.number("expires", 0, expiresMax, expiresDefault)
	if err != nil {
		return nil, err
	}
	if len(id) > qidMax {
		return nil, invalid("id is too long")
	}
	if expires == 0 {
		c.unsubscribe(id)
		return result{"result": "ok", "id": id, "expires": 0}, nil
	}
	s := &subscription{id: id}
	if s.classes, err = asked.texts("events"); err != nil {
		return nil, err
	}
	if s.objects, err = asked.texts("objects"); err != nil {
		return nil, err
	}
	if id == "" {
		s.id = uuid.NewString()
	}
	lasting := time.Duration(expires) * time.Second
	if c.renew(s, lasting) {
		return result{"result": "ok", "id": s.id, "expires": expires}, nil
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := c.listen(s, lasting); err != nil {
		return nil, err
	}
	return result{"result": "ok", "id": s.id, "expires": expires}, nil
}

// ends reports whether a call ends a subscription, which needs no right.
func (c call) ends() bool { return string(c.body.Lookup("expires")) == "0" }

func (s *subscription) check() error {
	if len(s.classes) == 0 || len(s.classes) > classesMax {
		return fault.New(fault.BadEvent, "events must name 1 to %d classes", classesMax)
	}
	for _, class := range s.classes {
		if !schemas.IsClassPattern(class) {
			return invalid("a class of events has 1 to 8 words of A-Z a-z 0-9 _ - (64 characters at most) with dots between " +
				"them; * is any word, > all further ones")
		}
	}
	return nil
}

// renew lets a subscription that has the same id, and wants the same or did not say, last longer.
func (c *connection) renew(s *subscription, lasting time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.subs[s.id]
	same := ok && (s.classes == nil || slices.Equal(known.classes, s.classes)) &&
		(s.objects == nil || slices.Equal(known.objects, s.objects))
	return same && known.timer.Reset(lasting) // false: it expires now, and a new one is started
}

// listen begins a subscription; one of the same id that wanted something else ends.
func (c *connection) listen(s *subscription, lasting time.Duration) error {
	c.unsubscribe(s.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return fault.New(fault.Internal, "the gateway stops: connect again")
	}
	if len(c.subs) >= connectionSubs {
		return fault.New(fault.RateLimited, "a connection has at most %d subscriptions", connectionSubs)
	}
	s.timer = time.AfterFunc(lasting, func() { c.expire(s) })
	for _, class := range s.classes {
		stop, err := c.hub.Bus.Notices(c.channel.BotID, class, func(received string, text []byte) {
			if s.first(received) == class { // of several classes that match, one passes the notice on
				c.receive(s, received, text)
			}
		})
		if err != nil {
			s.end()
			return err
		}
		s.stops = append(s.stops, stop)
	}
	c.subs[s.id] = s
	return nil
}

func (c *connection) unsubscribe(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.subs[id]; ok {
		s.end()
		delete(c.subs, id)
	}
}

func (c *connection) expire(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.id] == s {
		s.end()
		delete(c.subs, s.id)
	}
}

// receive forwards an event notification. A subscription receives it once, whichever of its classes match; a subscriber
// channel receives it once in total, on one of its connections in turn.
func (c *connection) receive(s *subscription, class string, text []byte) {
	var n schemas.Notice
	if json.Unmarshal(text, &n) != nil || n.ID == "" {
		c.hub.Log.Warn("event notification dropped: not a valid CloudEvents event", "tenant", c.channel.Tenant,
			"bot", c.channel.Bot, "class", class)
		return
	}
	if !s.wants(class, n) {
		return
	}
	if c.channel.Type != bot.ChannelSubscriber {
		_ = c.pass(s, class, n) // a disconnected client receives nothing
		return
	}
	// Every matching subscription in every process runs this; the one that claims the notification forwards it.
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte(c.channel.Tenant + "\n" + c.channel.Bot + "\n" + c.channel.ID + "\n" + class + "\n" + n.ID))
	mine, err := c.hub.Claims.Claim(ctx, c.channel.Tenant, hex.EncodeToString(sum[:]))
	if beyond := fault.Of(err); beyond != nil && beyond.Kind == fault.RateLimited {
		c.hub.Count.ShareExceeded(c.channel.Tenant, shareNotices)
		return
	}
	if err != nil {
		c.hub.Log.Warn("a notice for a subscriber channel is lost: it could not be claimed", "channel", c.channel.Code,
			"error", err)
		return
	}
	if !mine {
		return
	}
	for _, other := range c.hub.turn(identityOf(c.channel)) {
		if wanted := other.wanting(class, n); wanted != nil && other.pass(wanted, class, n) == nil {
			return
		}
	}
}

func (c *connection) wanting(class string, n schemas.Notice) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.wants(class, n) {
			return s
		}
	}
	return nil
}

func (c *connection) pass(s *subscription, class string, n schemas.Notice) error {
	return c.notify("event", result{"id": s.id, "class": class, "object": n.Subject, "event_id": n.ID, "data": n.Data})
}

// matches compares as NATS does.
func matches(pattern, class string) bool {
	p, w := strings.Split(pattern, "."), strings.Split(class, ".")
	for i, word := range p {
		switch {
		case word == ">":
			return len(w) > i
		case i >= len(w), word != "*" && word != w[i]:
			return false
		}
	}
	return len(p) == len(w)
}
