package socket

import (
	"context"
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
	objectsMax     = 1000
)

// subscription is what one connection wants to hear.
type subscription struct {
	id      string
	classes []string // patterns, as in NATS: * is one word, > the rest
	objects []string // none: all
	stop    func()
	timer   *time.Timer
}

func (s *subscription) end() {
	s.timer.Stop()
	s.stop()
}

// size is about how many bytes the subscription takes.
func (s *subscription) size() int64 {
	size := int64(len(s.id))
	for _, text := range slices.Concat(s.classes, s.objects) {
		size += int64(len(text)) + 16 // the string's header
	}
	return size
}

// wants reports whether a notice is one of the subscription's.
func (s *subscription) wants(class string, n schemas.Notice) bool {
	return slices.ContainsFunc(s.classes, func(p string) bool { return matches(p, class) }) &&
		(len(s.objects) == 0 || slices.Contains(s.objects, n.Subject))
}

// subscribe begins, renews (the same id again) or ends (expires 0) a subscription. One that begins is answered when it
// receives events, so that the client can rely on those that are published afterwards.
func (c *connection) subscribe(ctx context.Context, asked call) (result, error) {
	if role := c.channel().Lacks(bot.UseSubscriptions); role != "" && !asked.ends() {
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
	slices.Sort(s.classes)
	s.classes = slices.Compact(s.classes)
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
	if err := c.hub.Bus.Subscribed(ctx); err != nil {
		c.expire(s)
		return nil, fault.Wrap(fault.Internal, err, "the subscription was not confirmed in time: subscribe again")
	}
	return result{"result": "ok", "id": s.id, "expires": expires}, nil
}

// ends reports whether a call ends a subscription, which needs no right.
func (c call) ends() bool { return string(c.body.Lookup("expires")) == "0" }

func (s *subscription) check() error {
	if len(s.classes) == 0 || len(s.classes) > classesMax {
		return fault.New(fault.BadEvent, "events must name 1 to %d classes", classesMax)
	}
	if len(s.objects) > objectsMax {
		return fault.New(fault.BadEvent, "objects must name at most %d objects", objectsMax)
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
	unfollow, err := c.hub.follow(c)
	if err != nil {
		return err
	}
	size := s.size()
	c.hold(size)
	s.stop = func() { unfollow(); c.hold(-size) }
	s.timer = time.AfterFunc(lasting, func() { c.expire(s) })
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

// wanting returns the subscriptions that want a notice, as long as the channel may have subscriptions and the client can be
// written to.
func (c *connection) wanting(class string, n schemas.Notice) []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wanted []*subscription
	for _, s := range c.subs {
		if s.wants(class, n) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 || c.ended() || !c.admitted() || !c.channel().Capable(capabilitySubscribe) ||
		c.channel().Lacks(bot.UseSubscriptions) != "" {
		return nil
	}
	return wanted
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
