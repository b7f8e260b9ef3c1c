package store

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// setup starts a server with streams and a connection to it.
func setup(t testing.TB, o bus.StreamOptions) (jetstream.JetStream, bus.Streams) {
	t.Helper()
	s := natstest.Start(t)
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(testContext(t), js, o)
	require.NoError(t, err)
	return js, streams
}

// replacing is a write without order that stores details in the place of others, nil for none.
func replacing(details json.RawMessage) UserUpdate {
	return UserUpdate{
		Members: json.RawMessage(`{}`), Merge: func(_, _ json.RawMessage) (json.RawMessage, error) { return details, nil },
	}
}

// equalIDs are conversations that have an event of one id.
func equalIDs() []schemas.ConversationKey {
	return []schemas.ConversationKey{
		schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-2"),
		schemas.BotID{Tenant: "acme", Bot: "mall"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "bcme", Bot: "shop"}.WithConversation("c-1"),
	}
}
