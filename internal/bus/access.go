package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Events returns the stream of events.
func (s Streams) Events() jetstream.Stream { return s.events }

// Starters returns the bucket of live starters and partition leases.
func (s Streams) Starters() jetstream.KeyValue { return s.starters }

// StarterLog returns the stream behind the bucket of Starters: one request to it lists every key.
func (s Streams) StarterLog() jetstream.Stream { return s.starterLog }

// StarterTTL returns the time after which a key of the bucket of Starters expires unless it is refreshed.
func (s Streams) StarterTTL() time.Duration { return s.starterTTL }
