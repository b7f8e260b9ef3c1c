package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Posted stores the content that was posted under an event's id, for as long as the event stream recognises the id:
// without it an event with a used id and other content would be answered as a repetition, and lost.
type Posted struct {
	bucket jetstream.KeyValue
	log    jetstream.Stream // behind the bucket: a replica of it may lack the latest reservation
}

// ErrOtherContent reports that an event of the same conversation and id has other content.
var ErrOtherContent = errors.New("the id was used for an event with other content")

// NewPosted returns a new Posted on an account's streams.
func NewPosted(s bus.Streams) *Posted {
	return &Posted{bucket: s.Bucket(bus.BucketPosted), log: s.BucketLog(bus.BucketPosted)}
}

// Reserve stores the content of an event before it is published. It returns ErrOtherContent when the conversation has
// another event of this id. The same content may be reserved any number of times. While the bucket is full, nothing is
// reserved, and other content under a used id is not noticed.
func (p *Posted) Reserve(ctx context.Context, key schemas.ConversationKey, eventID, content string) error {
	name := schemas.EventMsgID(key, eventID)
	_, err := p.bucket.Create(ctx, name, []byte(content))
	if err == nil {
		return nil
	}
	if bus.IsStreamFull(err) {
		// The bucket is shared: a tenant that sends more events than it holds must not end those of the others.
		return nil
	}
	if !bus.IsConflict(err) {
		return fmt.Errorf("reserve the id of an event: %w", err)
	}
	stored, err := p.log.GetLastMsgForSubject(ctx, "$KV."+bus.BucketPosted+"."+name)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // it has expired in between
		return nil
	case err != nil:
		return fmt.Errorf("read the reservation of an event: %w", err)
	case removed(stored):
		return nil
	case string(stored.Data) != content:
		return ErrOtherContent
	}
	return nil
}

// Release removes an event that the stream has rejected permanently: other content may use its id.
func (p *Posted) Release(ctx context.Context, key schemas.ConversationKey, eventID string) error {
	if err := p.bucket.Purge(ctx, schemas.EventMsgID(key, eventID)); err != nil {
		return fmt.Errorf("release the id of an event: %w", err)
	}
	return nil
}
