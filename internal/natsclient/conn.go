package natsclient

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn publishes, subscribes and requests outside of JetStream, behind the guard.
type Conn struct {
	nc *nats.Conn
	guard
}

// ConnOf returns the Conn of a connection.
func ConnOf(js jetstream.JetStream) Conn {
	return Conn{js.Conn(), guard{rights: rightsOf(js)}}
}

// Publish publishes a message that is stored nowhere. It does not wait.
func (c Conn) Publish(subject string, data []byte) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	return c.nc.Publish(subject, data)
}

// Request waits for an answer as long as its context lasts: its caller knows how long one takes. The error is a DeniedError,
// at once, when the server denies the request.
func (c Conn) Request(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	return unbounded(ctx, c.guard, checkSubject(subject), to(subject),
		func(ctx context.Context) (*nats.Msg, error) { return c.nc.RequestWithContext(ctx, subject, data) })
}

// QueueSubscribe calls handle for the messages under a filter, of which each goes to one subscription of the group.
func (c Conn) QueueSubscribe(filter, group string, handle nats.MsgHandler) (*nats.Subscription, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	return c.nc.QueueSubscribe(filter, group, handle)
}

// Subscribe calls handle for every message under a filter.
func (c Conn) Subscribe(filter string, handle nats.MsgHandler) (*nats.Subscription, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	return c.nc.Subscribe(filter, handle)
}

// Flush waits until the server has received what was sent before: subscriptions receive everything from then on. It fails
// when ctx ends, which must have a deadline, or when the connection is lost.
func (c Conn) Flush(ctx context.Context) error { return c.nc.FlushWithContext(ctx) }

// MaxPayload returns the largest message that the server accepts, in bytes.
func (c Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// IsConnected reports whether the connection is up at present.
func (c Conn) IsConnected() bool { return c.nc.IsConnected() }
