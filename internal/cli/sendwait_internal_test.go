package cli

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// busyJetStream is a JetStream whose first answers about a stream come too late.
type busyJetStream struct {
	bus.JetStream

	late int
}

func (j *busyJetStream) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if j.late--; j.late >= 0 {
		return nil, nats.ErrTimeout
	}
	return j.JetStream.Stream(ctx, name)
}

func TestSend_RepliesOfABusyServer(t *testing.T) {
	t.Parallel()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	_, err = bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	o := send{settings: &settings{}, wait: time.Hour}
	o.timeout, o.ConversationKey = time.Minute, schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")
	reply, err := schemas.NewReply(o.ConversationKey, "e-1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e-1"})
	require.NoError(t, err)
	require.NoError(t, bus.NewPublisher(js).PublishReply(t.Context(), o.BotID, reply))

	last, err := o.last(t.Context(), &busyJetStream{js, 2}, schemas.StreamReplies)
	require.NoError(t, err)
	require.Equal(t, uint64(1), last)

	cmd := &cobra.Command{}
	cmd.SetOut(io.Discard)
	answers := awaitedOf(o.ConversationKey, "e-1", schemas.TypeStepRequested)
	end, err := o.follow(t.Context(), cmd, &busyJetStream{js, 2}, time.Now().Add(-time.Hour), &answers)
	require.ErrorIs(t, err, errAnswered)
	require.NoError(t, end)
	require.Equal(t, resultReplied, o.result.Result)
}

// TestSend_EndOfAnInterruptedRead: a read that the end of the wait cuts short is not a failure.
func TestSend_EndOfAnInterruptedRead(t *testing.T) {
	t.Parallel()
	o := send{settings: &settings{}}
	whole, over := t.Context(), ended(t.Context())
	end, err := o.endOf(whole, over.Err(), &awaited{}, context.DeadlineExceeded, nil)
	require.NoError(t, err)
	require.ErrorContains(t, end, "no reply within")
	require.Equal(t, resultNoReply, o.result.Result)
	_, err = o.endOf(whole, nil, &awaited{}, nats.ErrAuthorization, nil)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	_, err = o.endOf(over, over.Err(), &awaited{}, context.Canceled, nil)
	require.ErrorContains(t, err, "interrupted")
}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
