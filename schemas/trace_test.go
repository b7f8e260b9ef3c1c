package schemas_test

import (
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
