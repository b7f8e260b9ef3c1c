package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func failedEvent(bot, conversation string, data []byte, header nats.Header, received time.Time) *FailedEvent {
	m := &FailedEvent{BotID: schemas.BotID{Tenant: "acme", Bot: bot}, Conversation: conversation, Subject: eventRoot + "acme." + bot + "." + conversation,
		Data: data, Header: header, Received: received}
	if !schemas.IsToken(bot) {
		m.Bot = ""
	}
	return m
}

func anEvent(t *testing.T, conversation string) *FailedEvent {
	t.Helper()
	m := failedEvent("shop", conversation, []byte("{\x00\xff\r\n \"not json"), nats.Header{
		"X-Twice": {"one", "two"}, "traceparent": {"00-1-2-01"}, "Nats-Msg-Id": {"e-1"}, "Nats-TTL": {"1s"},
		"Nats-Expected-Last-Sequence": {"77"}, "Nats-Pin-Id": {"added by the server"}, "Hookturn-Reason": {"forged"},
	}, time.Unix(1700000000, 5))
	m.Sequence, m.Deliveries = 7, 3
	return m
}

func TestDeadLetter_IsTheEventByteForByte(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	m := anEvent(t, "c")
	reason := fault.New(fault.BadEvent, "line one\r\nInjected: header %s", strings.Repeat("ü", 2000))
	require.NoError(t, d.Write(testContext(t), m, reason))
	require.NoError(t, d.Write(testContext(t), m, reason), "writing it again after a crash")

	letter := onlyLetter(t, d)
	require.Equal(t, m.Data, letter.Data)
	require.Equal(t, []string{"one", "two"}, letter.Header.Values("X-Twice"))
	require.Equal(t, "00-1-2-01", letter.Header.Get("traceparent"))
	require.Equal(t, "e-1", letter.Header.Get("Hookturn-Original-Nats-Msg-Id"))
	require.Equal(t, "1s", letter.Header.Get("Hookturn-Original-Nats-TTL"))
	require.Equal(t, "77", letter.Header.Get("Hookturn-Original-Nats-Expected-Last-Sequence"))
	require.Equal(t, []string{"bad_event"}, letter.Header.Values(HeaderReason))
	require.Equal(t, "forged", letter.Header.Get("Hookturn-Original-Hookturn-Reason"))
	for _, gone := range []string{"Nats-TTL", "Nats-Expected-Last-Sequence", "Nats-Pin-Id", "Injected"} {
		require.Empty(t, letter.Header.Get(gone), gone)
	}
	require.Equal(t, fault.BadEvent, letter.Reason)
	require.True(t, strings.HasPrefix(letter.Detail, "line one  Injected: header ü"))
	require.LessOrEqual(t, len(letter.Detail), detailMax)
	require.Equal(t, m.Subject, letter.Subject)
	require.Equal(t, uint64(7), letter.EventSequence)
	require.Equal(t, uint64(3), letter.Deliveries)
	require.WithinDuration(t, time.Now(), letter.Time, time.Minute)
	require.Equal(t, []string{"acme", "shop", "c"}, []string{letter.Tenant, letter.Bot, letter.Conversation})
}

func TestDeadLetter_EventThatFillsTheLargestMessageStillFits(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	m := failedEvent("shop", "c", make([]byte, schemas.MessageMax),
		nats.Header{"Big": {strings.Repeat("x", 2<<20-schemas.MessageMax)}}, time.Now())
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.BadEvent, "no json")))
	letter := onlyLetter(t, d)
	require.Equal(t, m.Data, letter.Data)
	require.Empty(t, letter.Header.Get("Big"))
}

// TestDeadLetter_EventWithTheLongestHeadersStillFits: JetStream stores headers of 65,535 bytes, which an event can have and
// its dead letter exceeds. A message that it does not take leaves the process ready.
func TestDeadLetter_EventWithTheLongestHeadersStillFits(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	m := failedEvent("shop", "c", []byte("x"), nats.Header{"Big": {strings.Repeat("x", 65_500)}}, time.Now())
	_, err := js.PublishMsg(testContext(t), &nats.Msg{Subject: m.Subject, Data: m.Data, Header: m.Header})
	require.NoError(t, err, "the event is stored")
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.BadEvent, "no json")))
	letter := onlyLetter(t, d)
	require.Equal(t, m.Data, letter.Data)
	require.Equal(t, fault.BadEvent, letter.Reason)
	require.Empty(t, letter.Header.Get("Big"))
	require.NoError(t, Ready(testContext(t), js))
}

// TestDeadLetter_HeaderThatIsNotSent: the client library receives headers that it does not send. They are left out, and the
// dead letter is stored.
func TestDeadLetter_HeaderThatIsNotSent(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	m := failedEvent("shop", "c", []byte("x"), nats.Header{
		"X Note": {"a"}, "a[b]": {"c"}, "\xff": {"d"}, "Nats-(x)": {"e"}, "X-Note": {"kept"}}, time.Now())
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.BadEvent, "no json")))
	letter := onlyLetter(t, d)
	require.Equal(t, "kept", letter.Header.Get("X-Note"))
	for _, name := range []string{"X Note", "a[b]", "\xff", "Hookturn-Original-Nats-(x)"} {
		require.NotContains(t, letter.Header, name)
	}
}

func TestList_ChoosesDeadLetters(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	for n := range 600 {
		m := anEvent(t, "c")
		m.Sequence = uint64(n)
		kind := fault.BadEvent
		if n%2 == 1 {
			m.Tenant, kind = "other", fault.UnknownBot
		}
		require.NoError(t, d.Write(testContext(t), m, fault.New(kind, "because")))
	}
	for name, c := range map[string]struct {
		filter DeadLetterFilter
		count  int
		first  uint64
	}{
		"default limit": {DeadLetterFilter{}, 100, 1},
		"all":           {DeadLetterFilter{Limit: 1000}, 600, 1},
		"tenant":        {DeadLetterFilter{BotID: schemas.BotID{Tenant: "other"}, Limit: 1000}, 300, 2},
		"bot":           {DeadLetterFilter{BotID: schemas.BotID{Bot: "none"}}, 0, 0},
		"reason":        {DeadLetterFilter{Reason: fault.UnknownBot, Limit: 1000}, 300, 2},
		"page":          {DeadLetterFilter{After: 590, Limit: 1000}, 10, 591},
		"limit":         {DeadLetterFilter{Limit: 3}, 3, 1},
	} {
		letters, err := d.List(testContext(t), c.filter)
		require.NoError(t, err, name)
		require.Len(t, letters, c.count, name)
		if c.count > 0 {
			require.Equal(t, c.first, letters[0].Sequence, name)
			require.Equal(t, len(anEvent(t, "c").Data), letters[0].Size, name)
			require.Nil(t, letters[0].Data, name)
			require.Nil(t, letters[0].Header, name)
		}
	}
}

func TestReplay_PublishesTheEventAgain(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Partitions: 1})
	d := NewDeadLetters(js, streams)
	m := anEvent(t, "c")
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.UnknownBot, "no such bot")))
	letter := onlyLetter(t, d)
	seq, err := d.Replay(testContext(t), letter.Sequence)
	require.NoError(t, err)

	stored, err := streams.events.GetMsg(testContext(t), seq)
	require.NoError(t, err)
	require.Equal(t, m.Data, stored.Data)
	require.Equal(t, m.Subject, streams.EventSubject(stored.Subject))
	require.Equal(t, []string{"one", "two"}, stored.Header.Values("X-Twice"))
	require.Empty(t, stored.Header.Get(HeaderReason))
	require.Equal(t, "unknown_bot", stored.Header.Get(schemas.HeaderReplayed))
	require.Empty(t, stored.Header.Get("Nats-TTL"))
	_, err = d.Show(testContext(t), letter.Sequence)
	require.ErrorIs(t, err, ErrNoDeadLetter)
	_, err = d.Replay(testContext(t), letter.Sequence)
	require.ErrorIs(t, err, ErrNoDeadLetter)
}

// TestShow_EmptyPayload: a message without a payload has an empty one, which JSON writes as "".
func TestShow_EmptyPayload(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Partitions: 1})
	d := NewDeadLetters(js, streams)
	m := anEvent(t, "c")
	m.Data = nil
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.BadEvent, "there is no text")))
	letter := onlyLetter(t, d)
	require.NotNil(t, letter.Data)
	require.Empty(t, letter.Data)
}

func TestReplay_RefusesASubjectThatCannotBeHandled(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	d := NewDeadLetters(js, streams)
	m := failedEvent("sh+op", "c", nil, nil, time.Now())
	require.NoError(t, d.Write(testContext(t), m, fault.New(fault.BadEvent, "subject")))
	_, err := d.Replay(testContext(t), onlyLetter(t, d).Sequence)
	require.ErrorContains(t, err, "three valid tokens")
}
