package permissions

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// TestStarter_ServesDeadLetters: the gateway and the admin API list, show and replay dead letters.
func TestStarter_ServesDeadLetters(t *testing.T) {
	t.Parallel()
	_, js := startRig(t).connect(t, Starter)
	ctx := testContext(t)
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	letters := bus.NewDeadLetters(js, streams)
	require.NoError(t, letters.Write(ctx, &bus.FailedEvent{
		BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Conversation: "c1", Subject: "hookturn.events.acme.shop.c1",
		Data: []byte("{}"), Sequence: 1, Received: time.Now(),
	}, fault.New(fault.UnknownStep, "no such step")))
	found, err := letters.List(ctx, bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, err = letters.Show(ctx, found[0].Sequence)
	require.NoError(t, err)
	trail := audit.Trail{Writer: bus.NewAudit(js), Actor: schemas.AuditActor{Name: "bob"}, Log: slog.New(slog.DiscardHandler)}
	_, err = trail.Begin(ctx, audit.Change{BotID: found[0].BotID, Action: schemas.AuditDeadLettersReplay})
	require.NoError(t, err)
	_, err = letters.Replay(ctx, found[0].Sequence)
	require.NoError(t, err)
}
