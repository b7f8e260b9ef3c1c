package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Posted stores the content that was posted under an event's id, for as long as the event stream recognises the id:
// without it an event with a used id and other content would be answered as a repetition, and lost.
//
// A tenant has at most half of the bucket, and all tenants three quarters: the rest is for ScriptClaims.
type Posted struct {
	bucket jetstream.KeyValue
	log    jetstream.Stream // behind the bucket: a replica of it may lack the latest reservation
	shares *lifeShares
}

const (
	// postedBytes is more than a reservation takes in its bucket.
	postedBytes = 256
	// postedPart is the part of the bucket for reservations.
	postedPart = 0.75
)

// ErrOtherContent reports that an event of the same conversation and id has other content.
var ErrOtherContent = errors.New("the id was used for an event with other content")

// NewPosted returns a new Posted on an account's streams.
func NewPosted(s bus.Streams) *Posted {
	return &Posted{
		bucket: s.Bucket(bus.BucketPosted), log: s.BucketLog(bus.BucketPosted),
		shares: newLifeShares(s, bus.BucketPosted, postedBytes, postedPart),
	}
}

// Reserve stores the content of an event before it is published. It returns ErrOtherContent when the conversation has
// another event of this id. The same content may be reserved any number of times. While the tenant's share or the bucket is
// full, nothing is reserved, and other content under an id that was not reserved is not noticed.
func (p *Posted) Reserve(ctx context.Context, key schemas.ConversationKey, eventID, content string) error {
	name := schemas.EventMsgID(key, eventID)
	if reserved, err := p.create(ctx, key.Tenant, name, content); reserved || err != nil {
		return err
	}
	stored, found, err := p.read(ctx, name)
	if err == nil && found && stored != content {
		return ErrOtherContent
	}
	return err // not found: it was not reserved, or has expired in between
}

// Reserved reports whether an event was reserved with the same content: it may be stored.
func (p *Posted) Reserved(ctx context.Context, key schemas.ConversationKey, eventID, content string) (bool, error) {
	stored, found, err := p.read(ctx, schemas.EventMsgID(key, eventID))
	return found && stored == content, err
}

// read returns the content that is reserved under a name.
func (p *Posted) read(ctx context.Context, name string) (content string, found bool, err error) {
	stored, err := p.log.GetLastMsgForSubject(ctx, "$KV."+bus.BucketPosted+"."+name)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read the reservation of an event: %w", err)
	}
	return string(stored.Data), !removed(stored), nil
}

// create reserves an id. It returns false when the id may be reserved already, or when there is no room.
func (p *Posted) create(ctx context.Context, tenant, name, content string) (reserved bool, err error) {
	if p.shares.measure(ctx) == nil && !p.shares.take(tenant) {
		return false, nil
	}
	if _, err = p.bucket.Create(ctx, name, []byte(content)); err == nil {
		return true, nil
	}
	p.shares.give(tenant)
	if natsclient.IsConflict(err) || natsclient.IsStreamFull(err) {
		// The bucket is shared: a tenant that sends more events than it holds must not end those of the others.
		return false, nil
	}
	return false, fmt.Errorf("reserve the id of an event: %w", err)
}

// Release removes an event that the stream has rejected permanently: other content may use its id.
func (p *Posted) Release(ctx context.Context, key schemas.ConversationKey, eventID string) error {
	if err := p.bucket.Delete(ctx, schemas.EventMsgID(key, eventID)); err != nil {
		return fmt.Errorf("release the id of an event: %w", err)
	}
	return nil
}
