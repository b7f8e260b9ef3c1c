package permissions

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// TestStarter_ReadsRepliesForEngines: the gateway reads replies for engines without NATS, as they come and stored ones.
func TestStarter_ReadsRepliesForEngines(t *testing.T) {
	t.Parallel()
	_, js := startRig(t).connect(t, Starter)
	ctx := testContext(t)
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	replies := bus.NewReplies(streams)
	_, before, err := replies.Bounds(ctx)
	require.NoError(t, err)
	owner := schemas.BotID{Tenant: "acme", Bot: "shop"}
	of := owner.WithConversation("c-1")
	ids := []string{schemas.ReplyID(of, "e1", schemas.TypeStepReplied)}
	found, stop, err := replies.Listen(of, ids)
	require.NoError(t, err)
	defer stop()
	for _, event := range []string{"e0", "e1", "e2"} {
		reply, err := schemas.NewReply(of, event, schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: event})
		require.NoError(t, err)
		_, err = replies.Publish(ctx, owner, reply)
		require.NoError(t, err)
	}
	select {
	case reply := <-found:
		require.Equal(t, ids[0], reply.ID, "the reply to another event is passed over")
	case <-time.After(soon):
		t.Fatal("the reply does not come")
	}
	stored, err := replies.Find(ctx, of, ids[0], time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.NotNil(t, stored, "a reply behind the latest is found")

	reading, end := context.WithCancel(ctx)
	defer end()
	var read []uint64
	err = replies.Follow(reading, bus.Tail{ConversationKey: owner.WithConversation(""), From: before + 2}, nil,
		func(r bus.StoredReply) error {
			if read = append(read, r.Sequence); len(read) == 2 {
				end()
			}
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, []uint64{before + 2, before + 3}, read)
}

// TestStarter_DeletesForTheRetentionOfBots: and nothing beyond the two streams and the files.
func TestStarter_DeletesForTheRetentionOfBots(t *testing.T) {
	t.Parallel()
	_, js := startRig(t).connect(t, Starter)
	ctx := testContext(t)
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = js.Publish(ctx, "hookturn.replies.acme.shop.c", []byte("{}"))
	require.NoError(t, err)
	_, err = js.Publish(ctx, "hookturn.deadletters.acme.shop.c", []byte("{}"))
	require.NoError(t, err)
	_, err = store.NewFiles(streams).Put(ctx, acmeShop, store.File{Name: "f"}, strings.NewReader("text"))
	require.NoError(t, err)
	kept, later := store.NewRetention(streams), time.Now().Add(time.Hour)
	for _, sweep := range []func() (int, error){
		func() (int, error) { return kept.Replies(ctx, acmeShop, later) },
		func() (int, error) { return kept.DeadLetters(ctx, acmeShop, later) },
		func() (int, error) {
			deleted, err := kept.Files(ctx, map[schemas.BotID]time.Time{acmeShop: later})
			return deleted[acmeShop], err
		},
	} {
		count, err := sweep()
		require.NoError(t, err)
		require.Equal(t, 1, count)
	}
	for _, stream := range []jetstream.Stream{streams.Events(), streams.Queues()} {
		require.True(t, natsclient.IsDenied(stream.Purge(ctx)))
	}
}
