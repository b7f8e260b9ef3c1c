// Package bus is the only package that knows JetStream messages: it takes events in, sends replies out, and keeps what
// could not be handled as dead letters.
//
// It promises three things. Nothing is lost: an event is acknowledged after its handler has returned without error, or
// after its dead letter is stored, and never before. Order is kept: the events of one conversation reach the handler
// one after another in stream order, on whichever starter, through restarts and take-overs; an event that has to wait
// keeps the later ones of its conversation behind it and those of no other. And an event runs once in a process:
// everything is keyed by its stream sequence, so a second delivery of something that is held or was handled only
// brings a new handle for the acknowledgement.
//
// An event may be handled by two processes when one of them dies in between. Handlers are idempotent for that reason.
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

// HeaderTTL is the header by which a publisher says how long an event is useful, see Message.Expires.
const HeaderTTL = jetstream.MsgTTLHeader
