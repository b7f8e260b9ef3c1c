// Package pubsub sends what is stored nowhere, over NATS: event notifications and advisories for all that subscribe to them,
// and requests from one process of hookturn to another.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// PubSub publishes, subscribes, requests and responds.
type PubSub struct{ nc natsclient.Conn }

// subjectSockets is the first part of the subjects on which gateways receive what is pushed to their connections.
const subjectSockets = "hookturn.sockets"

// New returns a new PubSub on a connection.
func New(js jetstream.JetStream) *PubSub { return &PubSub{nc: natsclient.ConnOf(js)} }

// Notices calls received for every event notification of a bot whose class matches, with the class and the CloudEvents
// event, until stop is called: those that were delivered and not handled are dropped, as they are when nothing subscribes.
// The words of class may be wildcards of NATS. The calls are sequential. They begin when Subscribed has returned.
func (p *PubSub) Notices(owner schemas.BotID, class string, received func(class string, notice []byte)) (stop func(),
	err error) {
	root := schemas.NoticeSubject(owner, "")
	s, err := p.nc.Subscribe(root+class, func(m *nats.Msg) { received(strings.TrimPrefix(m.Subject, root), m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to event notifications: %w", err)
	}
	return unsubscribe(s), nil
}

// subscribedTimeout bounds the wait until NATS has a subscription.
const subscribedTimeout = time.Second

// Subscribed waits until NATS has all subscriptions of Notices so far: they receive what is published from then on. Without
// an answer within a second, as while the connection is lost, it is an error.
func (p *PubSub) Subscribed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subscribedTimeout)
	defer cancel()
	if err := p.nc.Flush(ctx); err != nil {
		return fmt.Errorf("wait for a subscription: %w", err)
	}
	return nil
}

// Notify publishes an event notification. One that exceeds schemas.NoticeMax is a fault of the kind too_large.
func (p *PubSub) Notify(owner schemas.BotID, class string, notice []byte) error {
	if len(notice) > schemas.NoticeMax {
		return fault.New(fault.TooLarge, "event notification of %d bytes exceeds the limit of %d", len(notice),
			schemas.NoticeMax)
	}
	return tooLargeFor(p.nc.Publish(schemas.NoticeSubject(owner, class), notice), notice)
}

// Advise publishes an advisory about a bot, also as a system notice to the WebSocket connections of channels. Neither
// is stored.
func (p *PubSub) Advise(owner schemas.BotID, advisory []byte) error {
	if err := p.nc.Publish(schemas.AdvisorySubject(owner), advisory); err != nil {
		return err
	}
	if notice, ok := noticeOf(advisory); ok {
		p.announce(owner, notice)
	}
	return nil
}

// tooLargeFor returns a fault for a message that exceeds the limit of NATS.
func tooLargeFor(err error, data []byte) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fault.New(fault.TooLarge, "message of %d bytes exceeds the limit of NATS", len(data))
	}
	return err
}

// Respond answers requests that are sent to an address, until stop is called; stop waits until all that were delivered are
// answered, and no longer than its context. Without the wait, who sent them would wait for a timeout.
func (p *PubSub) Respond(address string, answer func(request []byte) []byte) (stop func(context.Context), err error) {
	s, err := p.nc.Subscribe(subjectSockets+"."+address, func(m *nats.Msg) { _ = m.Respond(answer(m.Data)) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to requests: %w", err)
	}
	return draining(s), nil
}

// Request sends a request to an address and waits for the answer. An address without a responder is a fault of the kind
// gone.
func (p *PubSub) Request(ctx context.Context, address string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := p.nc.Request(ctx, subjectSockets+"."+address, request)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fault.New(fault.Gone, "there is no such connection")
	}
	if err != nil {
		return nil, fmt.Errorf("request to another process: %w", tooLargeFor(err, request))
	}
	return m.Data, nil
}

// requestTimeout bounds one request to another process.
const requestTimeout = 5 * time.Second

// unsubscribe returns what ends a subscription at once: messages that were delivered and not handled are dropped. It is for
// those whose receiver does not use them any more.
func unsubscribe(s *nats.Subscription) func() { return func() { _ = s.Unsubscribe() } }

// draining returns what ends a subscription after the messages that were delivered are handled, or when its context ends.
func draining(s *nats.Subscription) func(context.Context) {
	drained := make(chan struct{})
	s.SetClosedHandler(func(string) { close(drained) })
	return func(ctx context.Context) {
		if s.Drain() != nil {
			return // the connection is closed
		}
		select {
		case <-drained:
		case <-ctx.Done():
		}
	}
}
