// Package natsclient connects to NATS and returns a JetStream client that a stranger's text, a lost request or a missing
// permission cannot stop: subjects and keys are checked before they are sent, each request has an end, one that the server
// denies fails at once with the subject and the user, and what is read comes from the leader of its stream, without a
// consumer. It knows no stream of hookturn: package bus does.
package natsclient

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// APITimeout bounds one request to JetStream, so that a dead server is detected and the request repeated.
const APITimeout = 5 * time.Second

// Upkeep keeps in existence what a client works on.
type Upkeep interface {
	// Restore creates again what has vanished. nil: the operation that has missed it is repeated.
	Restore(ctx context.Context) error
	// Wrote receives the result of each operation that stores something, and the subject, or the first tokens of it.
	Wrote(subject string, err error)
}

// WithUpkeep returns the client of Connect with an Upkeep. js stays without one.
func WithUpkeep(js jetstream.JetStream, up Upkeep) jetstream.JetStream {
	if g, ok := js.(guardedJetStream); ok {
		g.up = up
		return g
	}
	return js
}

// UpkeepOf returns the Upkeep of a client, nil for none.
func UpkeepOf(js jetstream.JetStream) Upkeep {
	if g, ok := js.(guardedJetStream); ok {
		return g.up
	}
	return nil
}
