// Package bus connects to NATS, creates the streams and buckets of hookturn and keeps them in existence. It publishes
// events and replies, stores dead letters, and has publish-subscribe between processes. Package eventreader reads the
// events, package store reads and writes the buckets; no other package uses JetStream messages.
package bus

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// apiTimeout bounds one request to JetStream, so that a dead server is detected and the request repeated.
const apiTimeout = 5 * time.Second

// orDiscard returns the logger, or one that discards everything for nil.
func orDiscard(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}

// JetStream is the JetStream context of a connection, for packages that pass it on without using its messages.
type JetStream = jetstream.JetStream

// HeaderTTL is the header with the time for which an event is useful, see Expires.
const HeaderTTL = jetstream.MsgTTLHeader
