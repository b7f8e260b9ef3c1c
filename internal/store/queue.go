package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

// Queues stores the steps of background queues: one queue for each step of a bot, first in, first out, bounded by the
// stream. Entries are opaque bytes.
type Queues struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	quota  *quota.Quota
}

// NewQueues returns a new Queues on an account's streams.
func NewQueues(js jetstream.JetStream, s bus.Streams) *Queues {
	return &Queues{js: js, stream: s.Queues(), quota: s.QueueQuota()}
}

// Add puts data at the end of a step's queue; the same event of a conversation within an hour is one entry. A queue that
// is full, or has no room in the stream or in the tenant's half of it, is a fault of the kind queue_full; data that is too
// large for NATS is too_large.
func (q *Queues) Add(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error {
	if err := checkShare(ctx, q.quota, key.Tenant, fault.QueueFull, "background queues"); err != nil {
		return err
	}
	return q.AddAgain(ctx, key, step, eventID, data)
}

// AddAgain is Add for an entry that an earlier try may have stored: the share of the tenant may be full since, and the entry
// is in the queue all the same. One that is not stored yet is stored beyond the share.
func (q *Queues) AddAgain(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error {
	m := nats.NewMsg(queueSubject(key.BotID, step))
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, schemas.IDOf("queue", key, step, eventID))
	if int64(m.Size()) > q.js.Conn().MaxPayload() {
		return fault.New(fault.TooLarge, "message of %d bytes exceeds the limit of NATS", m.Size())
	}
	write := q.quota.Write(key.Tenant)
	write.Add(m.Size())
	stored, err := q.js.PublishMsg(ctx, m)
	write.End(err == nil && !stored.Duplicate)
	switch {
	case err == nil:
		return nil
	case natsclient.IsStreamFull(err):
		return fault.Wrap(fault.QueueFull, err, "the background queue of step %s holds %d entries, or its stream is full: "+
			"the endpoint is slower than its events", step, bus.QueueMax)
	}
	return fmt.Errorf("add to the queue of step %s: %w", step, err)
}

// QueueHead is the oldest entry of a queue. The zero value is that of an empty one.
type QueueHead struct {
	Data     []byte
	Sequence uint64 // 0: the queue is empty
	ID       string // of the entry's message; "": it was stored without one
}

// Head reads the oldest entry of a step's queue.
func (q *Queues) Head(ctx context.Context, owner schemas.BotID, step string) (QueueHead, error) {
	m, err := natsclient.NextMsg(ctx, q.stream, 1, queueSubject(owner, step))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return QueueHead{}, nil
	case err != nil:
		return QueueHead{}, fmt.Errorf("read the queue of step %s: %w", step, err)
	}
	return QueueHead{Data: m.Data, Sequence: m.Sequence, ID: m.Header.Get(jetstream.MsgIDHeader)}, nil
}

// Heads reads the oldest entry of every queue that has one.
func (q *Queues) Heads(ctx context.Context) (heads [][]byte, err error) {
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(bus.SubjectQueues+".>"))
	if err != nil {
		return nil, fmt.Errorf("list the background queues: %w", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		m, err := natsclient.NextMsg(ctx, q.stream, 1, subject)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // handled in between
		case err != nil:
			return nil, fmt.Errorf("read the head of a background queue: %w", err)
		default:
			heads = append(heads, m.Data)
		}
	}
	return heads, nil
}

// Remove removes an entry from the queue of a step. It succeeds for an entry that was already removed. A stream that was
// deleted and created again may give the sequence to another entry: only one of the same queue and id is removed. The step
// "" is that of any queue, and "" is any id: earlier releases named entries by their sequences alone.
func (q *Queues) Remove(ctx context.Context, owner schemas.BotID, step string, sequence uint64, id string) error {
	stored, err := q.stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read entry %d of the queue of step %s: %w", sequence, step, err)
	}
	if step != "" && stored.Subject != queueSubject(owner, step) || id != "" && stored.Header.Get(jetstream.MsgIDHeader) != id {
		return nil // another entry
	}
	err = q.stream.DeleteMsg(ctx, sequence)
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return fmt.Errorf("remove entry %d from the queue of step %s: %w", sequence, step, err)
}

func queueSubject(owner schemas.BotID, step string) string {
	return bus.SubjectQueues + "." + owner.Tenant + "." + owner.Bot + "." + schemas.ConversationToken(step)
}
