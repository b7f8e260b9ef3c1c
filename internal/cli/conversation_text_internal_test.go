package cli

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/schemas"
)

func TestWriteConversation(t *testing.T) {
	t.Parallel()
	var replied inspect.Reply
	require.NoError(t, json.Unmarshal([]byte(`{"type":"hookturn.step.replied","time":"2026-11-28T12:00:01.5Z","event_id":"e-1",
		"outcome":"bot_break","error":{"kind":"status","status":503,"message":"status 503"},
		"messages":[{"type":"text","text":"Sorry,\nsomething\u001b[31m went wrong."}],
		"attempts":[{"n":1,"started":"2026-11-28T12:00:00.25Z","url":"https://shop.example/orders","status":503,"error":"status",
			"dns_ms":1,"connect_ms":2,"tls_ms":3,"first_byte_ms":40,"total_ms":41.2,"bytes":12}]}`), &replied))
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	c := &inspect.Conversation{
		ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"),
		Runs:            []inspect.Run{{Status: "running", Started: at, User: "91", URL: "http://ui/run"}},
		Events: []inspect.Event{
			{ID: "e-1", Type: schemas.TypeStepRequested, Step: "ORDER", At: at, Replies: []inspect.Reply{replied}},
			{ID: "e-2", Type: schemas.TypeMessageReceived, At: at, Message: json.RawMessage(`{"text":"hi"}`)},
		},
	}
	var out bytes.Buffer
	require.NoError(t, writeConversation(&out, c))
	require.Equal(t, `conversation c-42 of bot shop of tenant default
run running since 2026-11-28 12:00:00.000, user 91
    http://ui/run

2026-11-28 12:00:00.000  step.requested ORDER  (e-1)
    2026-11-28 12:00:01.500  step.replied: bot_break (status), 1.5s after the event
        error: status 503
        attempt 1 at 12:00:00.250: https://shop.example/orders, 503 status, 41 ms (dns 1, connect 2, tls 3, first byte 40), 12 bytes
        the user read: Sorry, something [31m went wrong.

2026-11-28 12:00:00.000  message.received  (e-2)
    user: {"text":"hi"}
`, out.String())
}

func TestWhen(t *testing.T) {
	t.Parallel()
	var w when
	require.NoError(t, w.Set("2026-11-28T12:00:00+01:00"))
	require.Equal(t, "2026-11-28T11:00:00Z", w.UTC().Format(time.RFC3339))
	require.NoError(t, w.Set("1h"))
	require.WithinDuration(t, time.Now().Add(-time.Hour), w.Time, 10*time.Minute)
	for _, text := range []string{"yesterday", "-1h", "", "2026-11-28"} {
		require.Error(t, w.Set(text), text)
	}
}
