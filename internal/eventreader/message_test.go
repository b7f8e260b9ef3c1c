package eventreader

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestTokensOf(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		tenant, bot, conversation string
		valid                     bool
	}{
		eventRoot + "t.b.c":                          {"t", "b", "c", true},
		eventRoot + "t.b":                            {"t", "b", "", false},
		eventRoot + "t.b.c.d":                        {"t", "b", "c", false},
		eventRoot + "t.b+.c":                         {"t", "", "c", false},
		eventRoot + "t.b." + strings.Repeat("x", 65): {"t", "b", "", false},
		eventRoot: {"", "", "", false},
	} {
		owner, conversation, valid := tokensOf(subject)
		require.Equal(t, want.tenant, owner.Tenant, subject)
		require.Equal(t, want.bot, owner.Bot, subject)
		require.Equal(t, want.conversation, conversation, subject)
		require.Equal(t, want.valid, valid, subject)
	}
}

// headers returns n headers with short names.
func headers(n int) nats.Header {
	header := nats.Header{}
	for i := range n {
		header[strconv.Itoa(i)] = []string{""}
	}
	return header
}

func TestMessage_SizeCountsHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header        nats.Header
		memory, space int64
		kept          nats.Header
	}{
		"none":       {nil, 0, 0, nil},
		"two values": {nats.Header{"ab": {"x", ""}}, 2 + nameBytes + 1 + 2*valueBytes, 5, nats.Header{"ab": {"x", ""}}},
		"as many as it may": {nats.Header{"a": make([]string, HeadersMax)}, 1 + nameBytes + HeadersMax*valueBytes, HeadersMax,
			nats.Header{"a": make([]string, HeadersMax)}},
		"one more":   {nats.Header{"a": make([]string, HeadersMax+1)}, 0, HeadersMax + 1, nil},
		"many names": {headers(HeadersMax + 1), 0, 10 + 2*90 + 3*900 + 4, nil},
		"many bytes": {nats.Header{"a": {strings.Repeat("x", HeaderBytesMax)}}, 0, HeaderBytesMax + 1, nil},
		"in binary mode": {nats.Header{"CE-id": {"x"}, "a": make([]string, HeadersMax)}, 14 + 5 + 2*nameBytes + 3 + 1 + 2*valueBytes,
			HeadersMax + 6, nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"x"}}},
	} {
		m := newMessage(bus.Streams{}, "s", []byte("data"), c.header, time.Time{})
		require.Equal(t, c.memory+5, m.size(), name)
		require.Equal(t, c.space+5+recordBytes, m.space(), name)
		require.Equal(t, c.kept, m.Header, name)
	}
	expires := newMessage(bus.Streams{}, "s", nil, nats.Header{"Nats-TTL": {"1s"}, "a": make([]string, HeadersMax)}, time.Unix(1, 0))
	require.Equal(t, time.Unix(2, 0), expires.Expires)
}

// TestMessage_IdentityInBinaryMode: an event with too many headers keeps those by which it is answered, and no others.
func TestMessage_IdentityInBinaryMode(t *testing.T) {
	t.Parallel()
	header := headers(HeadersMax)
	maps.Copy(header, nats.Header{
		"Ce-Id": {"e"}, "ce-type": {"t"}, "CE-SUBJECT": {"s"}, "ce-time": {"now"}, "ce-traceparent": {"p"}, "ce-tracestate": {"q"},
		"ce-" + schemas.AttributeRepeatOf: {"r"}, "ce-source": {"x"}, "ce-other": {"y"}, "Nats-Msg-Id": {"e"},
	})
	want := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"e"}, "ce-type": {"t"}, "ce-subject": {"s"}, "ce-time": {"now"}, "ce-traceparent": {"p"},
		"ce-tracestate": {"q"}, "ce-" + schemas.AttributeRepeatOf: {"r"},
	}
	kept := func() nats.Header { return newMessage(bus.Streams{}, "s", nil, header, time.Time{}).Header }
	require.Equal(t, want, kept())

	header["ce-id"], header["ce-type"] = []string{"e"}, []string{"t", "t"}
	header["CE-SUBJECT"] = []string{strings.Repeat("s", identityMax+1)}
	for _, name := range []string{"ce-id", "ce-type", "ce-subject"} {
		delete(want, name)
	}
	require.Equal(t, want, kept(), "twice, in any spelling, or too long")
}

// TestReader_ManyHeaders: an event with more headers than it may have is handled, and its dead letter has none of them:
// with them it would exceed what JetStream stores.
func TestReader_ManyHeaders(t *testing.T) {
	t.Parallel()
	many := headers(HeadersMax)
	many["ce-id"] = []string{"e"}
	for name, header := range map[string]nats.Header{"many": many, "long": {"tracestate": {strings.Repeat("x", 65_400)}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
			startReader(t, js, streams, Options{Handler: func(_ context.Context, m *Message) Outcome {
				if m.CheckHeaders() == nil || len(m.Header) > 2 {
					return Retry("headers", nil)
				}
				return DeadLetter(fault.BadEvent, "too many headers")
			}})
			_, err := js.PublishMsg(testContext(t), &nats.Msg{Subject: eventRoot + "acme.shop.c", Data: []byte("{}"), Header: header})
			require.NoError(t, err)
			letter := onlyLetter(t, bus.NewDeadLetters(js, streams))
			require.Equal(t, fault.BadEvent, letter.Reason)
			require.Equal(t, []byte("{}"), letter.Data)
			require.Less(t, len(letter.Header), 10, "its own only")
			require.NotContains(t, letter.Header, "ce-specversion")
			requireEmpty(t, streams)
		})
	}
}
