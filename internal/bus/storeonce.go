package bus

import (
	"bytes"
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Engines publish into the stream of events, under any Nats-Msg-Id, and JetStream compares the ids of all subjects. The ids
// of hookturn's own messages can be computed or guessed, so that the message under such an id may be another engine's.

// storeOnce publishes a message into the stream of events. When the stream had its id already, and the message under that id
// is not the same or cannot be read, storeOnce publishes it again under a random id, with schemas.HeaderAgain. duplicate
// reports that the same message is stored, or that a message of its id was and is not any more. room is asked before the
// message is published again, and its error ends that; nil: it is not asked.
func storeOnce(
	ctx context.Context, js jetstream.JetStream, m *nats.Msg, same func(*jetstream.RawStreamMsg) bool,
	publish func(context.Context) (*jetstream.PubAck, error), room func(context.Context) error,
) (seq uint64, duplicate bool, err error) {
	stored, err := publish(ctx)
	if err != nil || !stored.Duplicate {
		return sequenceOf(stored), false, err
	}
	before, err := messageOf(ctx, js, stored)
	if err == nil && same(before) {
		return stored.Sequence, true, nil
	}
	duplicate = errors.Is(err, jetstream.ErrMsgNotFound)
	if room != nil {
		if err := room(ctx); err != nil {
			return 0, false, err
		}
	}
	m.Header.Set(jetstream.MsgIDHeader, uuid.NewString())
	m.Header.Set(schemas.HeaderAgain, "true")
	if stored, err = publish(ctx); err != nil {
		return 0, false, err
	}
	return stored.Sequence, duplicate, nil
}

// messageOf returns the message of the stream of events that an acknowledgement names. The error is
// jetstream.ErrMsgNotFound when a starter has handled it.
func messageOf(ctx context.Context, js jetstream.JetStream, ack *jetstream.PubAck) (*jetstream.RawStreamMsg, error) {
	if ack.Sequence == 0 { // the message is being stored
		return nil, errors.New("the acknowledgement does not have a sequence")
	}
	return natsclient.LeaderOf(js, schemas.StreamEvents).Get(ctx, natsclient.Query{Sequence: ack.Sequence})
}

func sequenceOf(ack *jetstream.PubAck) uint64 {
	if ack == nil {
		return 0
	}
	return ack.Sequence
}

// sameEvent reports whether a stored message is the event of an id that m has.
func sameEvent(m *nats.Msg, id string) func(*jetstream.RawStreamMsg) bool {
	return func(stored *jetstream.RawStreamMsg) bool {
		if !storedUnder(stored.Subject, m.Subject) {
			return false
		}
		if !schemas.IsBinary(stored.Header) && bytes.Equal(stored.Data, m.Data) {
			return true
		}
		document, err := schemas.Document(stored.Header, stored.Data)
		e, ok := schemas.DecodeEnvelope(document)
		return err == nil && ok && e.ID == id
	}
}

// sameReplay reports whether a stored message is the replayed event m.
func sameReplay(m *nats.Msg) func(*jetstream.RawStreamMsg) bool {
	return func(stored *jetstream.RawStreamMsg) bool {
		return storedUnder(stored.Subject, m.Subject) && stored.Header.Get(schemas.HeaderReplayed) != "" &&
			bytes.Equal(stored.Data, m.Data)
	}
}

// storedUnder reports whether a message that was published on a subject of events is stored under another one: the same, or
// the one with a partition token.
func storedUnder(stored, published string) bool {
	return stored == published || withoutPartition(stored) == published
}
