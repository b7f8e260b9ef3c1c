package bench

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// TestLoad_CountsStoredReplies publishes the reply to an event three times: under its id, which JetStream stores once, and
// under another one.
func TestLoad_CountsStoredReplies(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := natstest.Start(t).ClientURL()
	hookturn, streams, err := bus.Connect(ctx, natsclient.Login{URL: server}, t.Name(), nil)
	require.NoError(t, err)
	defer hookturn.Close()
	_, err = bus.Setup(ctx, streams, bus.StreamOptions{})
	require.NoError(t, err)
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: server}, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	l, err := newLoad(nc, js)
	require.NoError(t, err)
	due := &awaited{conversation: "c-1", outcome: make(chan schemas.Outcome, 1)}
	l.waiting.Store("e-1", due)
	key := l.bot.WithConversation("c-1")
	r, err := schemas.NewReply(key, "e-1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e-1"})
	require.NoError(t, err)
	body, err := schemas.Marshal(r)
	require.NoError(t, err)
	publish := func(id string) (duplicate bool) {
		ack, err := js.Publish(ctx, schemas.Subject(schemas.SubjectReplies, key), body, jetstream.WithMsgID(id))
		require.NoError(t, err)
		require.NoError(t, nc.FlushWithContext(ctx))
		return ack.Duplicate
	}
	require.False(t, publish(r.ID))
	require.True(t, publish(r.ID))
	<-due.outcome
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.repeated) == 1
	}, time.Minute, time.Millisecond, "the load receives both")
	require.NoError(t, l.check(ctx))
	require.False(t, publish("another id"))
	require.ErrorContains(t, l.check(ctx), "has 2 replies")
}
