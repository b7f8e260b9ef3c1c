package eventreader

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
)

// lastStored returns the last sequence of the stream.
func (p *partition) lastStored(ctx context.Context) (uint64, error) {
	info, err := p.r.streams.Events().Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the state of the event stream: %w", err)
	}
	return info.State.LastSeq, nil
}

// getEvent reads an event from the stream. found is false when the stream does not have it, and changed is true when it has
// another one of its sequence.
func (p *partition) getEvent(
	ctx context.Context, id StoredID,
) (stored *jetstream.RawStreamMsg, found, changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stored, err = p.r.streams.Events().GetMsg(ctx, id.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, false, false, nil
	case err != nil:
		return nil, false, false, err
	}
	changed = storedID(stored.Sequence, stored.Time) != id
	return stored, !changed, changed, nil
}

// nextOf reads the first event from a sequence on whose subject matches a filter. wanted is asked as well, because a token
// of a stored subject may be a wildcard.
func (p *partition) nextOf(from uint64, filter string, wanted func(subject string) bool) (*jetstream.RawStreamMsg, error) {
	for {
		ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
		stored, err := natsclient.NextMsg(ctx, p.r.streams.Events(), from, filter)
		cancel()
		if err != nil || wanted == nil || wanted(stored.Subject) {
			return stored, err
		}
		from = stored.Sequence + 1
	}
}

// nextStored reads the first event of the partition from a sequence on.
func (p *partition) nextStored(from uint64) (*jetstream.RawStreamMsg, error) {
	return p.nextOf(from, p.filter, nil)
}

// nextOfTenant reads the first event of a tenant from a sequence on.
func (p *partition) nextOfTenant(from uint64, tenant string) (*jetstream.RawStreamMsg, error) {
	prefix := strings.TrimSuffix(p.filter, ">") + tenant + "."
	return p.nextOf(from, prefix+">", func(subject string) bool { return strings.HasPrefix(subject, prefix) })
}

// message returns the message of an event that was read from the stream.
func (p *partition) message(stored *jetstream.RawStreamMsg) *Message {
	m := newMessage(p.r.streams, stored.Subject, stored.Data, stored.Header, stored.Time)
	m.Sequence = stored.Sequence
	return m
}
