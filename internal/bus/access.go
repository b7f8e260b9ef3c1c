package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Events returns the stream of events.
func (s Streams) Events() jetstream.Stream { return s.events }

// Partitioned reports whether the stored subjects of events have the number of their partition before the tenant.
func (s Streams) Partitioned() bool { return s.layoutNow().partitioned }

// Replies returns the stream of replies.
func (s Streams) Replies() jetstream.Stream { return s.replies }

// DeadLetters returns the stream of dead letters.
func (s Streams) DeadLetters() jetstream.Stream { return s.deadLetters }

// Queues returns the stream of the background queues.
func (s Streams) Queues() jetstream.Stream { return s.queues }

// Bucket returns the key-value bucket of one of the names in this package, nil for another name.
func (s Streams) Bucket(name string) jetstream.KeyValue { return s.buckets[name] }

// BucketLog returns the stream behind a bucket: one request to it lists every key, and a value read from it
// is the latest. Only BucketUsers, BucketChats, BucketPosted, BucketStarters and BucketEndpoints have one here.
func (s Streams) BucketLog(name string) jetstream.Stream { return s.logs[name] }

// Files returns the object store of files.
func (s Streams) Files() jetstream.ObjectStore { return s.files }

// StarterTTL returns the time after which a key of BucketStarters expires unless it is refreshed.
func (s Streams) StarterTTL() time.Duration { return s.starterTTL }
