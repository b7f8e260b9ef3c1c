package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func document(id string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested",`+
		`"time":"2026-11-20T12:00:00Z","subject":"c-1","data":{"step":"ORDER"}}`, id)
}

var forged = schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")

// TestPublishEvent_ForeignMessageUnderItsID publishes an event whose Nats-Msg-Id another message has.
func TestPublishEvent_ForeignMessageUnderItsID(t *testing.T) {
	t.Parallel()
	binary := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"e-2"}, "ce-source": {"/x"}, "ce-type": {"hookturn.step.requested"}, "ce-subject": {"c-1"},
		"ce-time": {"2026-11-20T12:00:00Z"},
	}
	for name, c := range map[string]struct {
		key    schemas.ConversationKey
		data   []byte
		header nats.Header
	}{
		"of another tenant":       {schemas.BotID{Tenant: "evil", Bot: "shop"}.WithConversation("c-1"), document("e-1"), nil},
		"of another conversation": {forged.BotID.WithConversation("c-2"), document("e-1"), nil},
		"of another event":        {forged, document("e-2"), nil},
		"in binary mode":          {forged, document("e-1"), binary},
		"without an envelope":     {forged, []byte("{}"), nil},
	} {
		for _, partitions := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s, %d partitions", name, partitions), func(t *testing.T) {
				t.Parallel()
				_, js, streams := setup(t, StreamOptions{Partitions: partitions})
				ctx := testContext(t)
				m := nats.NewMsg(schemas.Subject(schemas.SubjectEvents, c.key))
				m.Data = c.data
				maps.Copy(m.Header, c.header)
				m.Header.Set(jetstream.MsgIDHeader, schemas.EventMsgID(forged, "e-1"))
				_, err := js.PublishMsg(ctx, m)
				require.NoError(t, err)

				seq, duplicate, err := NewPublisher(js).PublishEvent(ctx, forged, document("e-1"), "e-1", nil)
				require.NoError(t, err)
				require.False(t, duplicate)
				stored, err := streams.events.GetMsg(ctx, seq)
				require.NoError(t, err)
				require.Equal(t, schemas.Subject(schemas.SubjectEvents, forged), streams.EventSubject(stored.Subject))
				require.Equal(t, document("e-1"), stored.Data)
				require.NotEmpty(t, stored.Header.Get(schemas.HeaderAgain), "it may have been stored before")
			})
		}
	}
}

// TestPublishEvent_SameEvent publishes an event again: as it was, with another time, and as the engine published it.
func TestPublishEvent_SameEvent(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	p := NewPublisher(js)
	first, _, err := p.PublishEvent(ctx, forged, document("e-1"), "e-1", nil)
	require.NoError(t, err)
	for _, data := range [][]byte{document("e-1"), append(document("e-1"), '\n')} {
		seq, duplicate, err := p.PublishEvent(ctx, forged, data, "e-1", nil)
		require.NoError(t, err)
		require.True(t, duplicate)
		require.Equal(t, first, seq)
	}
	info, err := streams.events.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)
}

// TestPublishEvent_HandledUnderItsID publishes an event after the message under its id was handled: it may have been another.
func TestPublishEvent_HandledUnderItsID(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	p := NewPublisher(js)
	first, _, err := p.PublishEvent(ctx, forged, document("e-1"), "e-1", nil)
	require.NoError(t, err)
	require.NoError(t, streams.events.DeleteMsg(ctx, first))

	seq, duplicate, err := p.PublishEvent(ctx, forged, document("e-1"), "e-1", nil)
	require.NoError(t, err)
	require.True(t, duplicate, "most often it is the same event")
	stored, err := streams.events.GetMsg(ctx, seq)
	require.NoError(t, err)
	require.Equal(t, document("e-1"), stored.Data)
	require.NotEmpty(t, stored.Header.Get(schemas.HeaderAgain))
}

// TestPublishEventWithin_Room asks for room before an event is stored again, and only then.
func TestPublishEventWithin_Room(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx, p, full := testContext(t), NewPublisher(js), errors.New("full")
	within := func(room error) (seq uint64, asked bool, err error) {
		seq, _, err = p.PublishEventWithin(ctx, forged, document("e-1"), "e-1", nil, func(context.Context) error {
			asked = true
			return room
		})
		return seq, asked, err
	}
	first, asked, err := within(full)
	require.NoError(t, err)
	require.False(t, asked, "the caller has asked")
	_, asked, err = within(full)
	require.NoError(t, err)
	require.False(t, asked, "it is stored")
	require.NoError(t, streams.events.DeleteMsg(ctx, first))
	_, _, err = within(full)
	require.ErrorIs(t, err, full)
	info, err := streams.events.Info(ctx)
	require.NoError(t, err)
	require.Zero(t, info.State.Msgs)
	second, asked, err := within(nil)
	require.NoError(t, err)
	require.True(t, asked)
	require.Greater(t, second, first)
}

// TestReplay_ForeignMessageUnderItsID: the id of a replay has the time of the dead letter, which can be guessed.
func TestReplay_ForeignMessageUnderItsID(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	d := NewDeadLetters(js, streams)
	require.NoError(t, d.Write(ctx, anEvent(t, "c"), fault.New(fault.UnknownBot, "no such bot")))
	letter, err := d.get(ctx, onlyLetter(t, d).Sequence)
	require.NoError(t, err)
	_, err = js.Publish(ctx, eventRoot+"evil.shop.c", letter.Data,
		jetstream.WithMsgID(fmt.Sprintf("replay-%d-%d", letter.Sequence, letter.Time.UnixNano())))
	require.NoError(t, err)

	seq, err := d.Replay(ctx, letter.Sequence)
	require.NoError(t, err)
	stored, err := streams.events.GetMsg(ctx, seq)
	require.NoError(t, err)
	require.Equal(t, eventRoot+"acme.shop.c", streams.EventSubject(stored.Subject))
	require.Equal(t, letter.Data, stored.Data)
}

// TestReplay_Interrupted: the event was published again, and the dead letter is still there.
func TestReplay_Interrupted(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	d := NewDeadLetters(js, streams)
	require.NoError(t, d.Write(ctx, anEvent(t, "c"), fault.New(fault.UnknownBot, "no such bot")))
	letter, err := d.get(ctx, onlyLetter(t, d).Sequence)
	require.NoError(t, err)
	m := nats.NewMsg(eventRoot + "acme.shop.c")
	m.Data = letter.Data
	m.Header.Set(schemas.HeaderReplayed, "unknown_bot")
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("replay-%d-%d", letter.Sequence, letter.Time.UnixNano()))
	before, err := js.PublishMsg(ctx, m)
	require.NoError(t, err)

	seq, err := d.Replay(ctx, letter.Sequence)
	require.NoError(t, err)
	require.Equal(t, before.Sequence, seq)
}
