// Package bus connects to NATS, creates the streams and buckets of hookturn and keeps them in existence. It publishes events
// and replies, stores dead letters, and has publish-subscribe between processes. Package eventreader reads the events, package
// store keeps what the buckets hold; no other package knows JetStream messages.
package bus

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// apiTimeout bounds one request to JetStream, so that a server that went away is noticed and the request tried again.
const apiTimeout = 5 * time.Second

// orDiscard gives packages that were told no logger one that says nothing.
func orDiscard(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}

// JetStream is a connection's way to JetStream, for those who hand it on without knowing its messages.
type JetStream = jetstream.JetStream

// HeaderTTL is the header by which a publisher says how long an event is useful, see Expires.
const HeaderTTL = jetstream.MsgTTLHeader
