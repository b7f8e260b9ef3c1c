package schemas_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

var owner = schemas.BotID{Tenant: "default", Bot: "shop"}

func TestTraceID_IsTheTraceparentsOrMadeFromTheEvent(t *testing.T) {
	t.Parallel()
	e := schemas.Event{ID: "e1", TraceParent: "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"}
	require.Equal(t, schemas.Event{ID: "e1"}.TraceID(owner), e.TraceID(owner), "a traceparent does not have capital letters")
	e.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", e.TraceID(owner))
	for _, odd := range []string{"", "00", "00-4bf9-00f067aa0ba902b7-01", "a-b-c-d"} {
		id := schemas.Event{ID: "e1", TraceParent: odd}.TraceID(owner)
		require.Regexp(t, "^[0-9a-f]{32}$", id, odd)
		require.Equal(t, schemas.Event{ID: "e1"}.TraceID(owner), id, odd)
		require.NotEqual(t, schemas.Event{ID: "e2"}.TraceID(owner), id, odd)
	}
}

func TestValidTrace(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct{ parent, state, wantParent, wantState string }{
		"none":         {},
		"both":         {parent, "a=b,c=d", parent, "a=b,c=d"},
		"state alone":  {"", "a=b", "", "a=b"},
		"odd parent":   {"00-1-2-01", "a=b", "", "a=b"},
		"longest":      {parent, strings.Repeat("x", 512), parent, strings.Repeat("x", 512)},
		"one too long": {parent, strings.Repeat("x", 513), parent, ""},
		"not a header": {parent + "\n", "a\r\nb", "", ""},
	} {
		gotParent, gotState := schemas.ValidTrace(c.parent, c.state)
		require.Equal(t, [2]string{c.wantParent, c.wantState}, [2]string{gotParent, gotState}, name)
	}
}

func TestDecodeEnvelope_TraceIsValid(t *testing.T) {
	t.Parallel()
	e, ok := schemas.DecodeEnvelope([]byte(`{"id":"e1","type":"t","subject":"c","traceparent":"00-1-2-01","tracestate":"ü"}`))
	require.True(t, ok)
	require.Equal(t, schemas.Envelope{ID: "e1", Type: "t", Subject: "c"}, e)
}
