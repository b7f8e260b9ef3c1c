package bus

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// headerExpires carries the latest useful moment of an event that our own publisher stored. It is not Nats-TTL, because
// the server removes an event at the end of its Nats-TTL without a trace.
const headerExpires = "Hookturn-Expires"

// Expires returns an event's latest useful moment by its headers; the zero time when it does not have one. received is
// the time at which JetStream stored the event.
func Expires(header nats.Header, received time.Time) time.Time {
	if len(header) == 0 {
		return time.Time{}
	}
	if at, err := time.Parse(time.RFC3339Nano, HeaderValue(header, headerExpires)); err == nil {
		return at
	}
	if ttl := parseTTL(HeaderValue(header, jetstream.MsgTTLHeader)); ttl > 0 {
		return received.Add(ttl)
	}
	return time.Time{}
}

// parseTTL parses a Nats-TTL like the server: a duration or whole seconds. It returns 0 for "never" and for an invalid
// value.
func parseTTL(text string) time.Duration {
	if text == "" {
		return 0
	}
	if d, err := time.ParseDuration(text); err == nil {
		return max(d, 0)
	}
	if d, err := time.ParseDuration(text + "s"); err == nil {
		return max(d, 0)
	}
	return 0
}
