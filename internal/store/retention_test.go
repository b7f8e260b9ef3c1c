package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// TestRetention_OlderOfOneBot deletes what is older of a bot. The bot of the same name of another tenant, the neighbour of
// the tenant, and what is newer stay.
func TestRetention_OlderOfOneBot(t *testing.T) {
	t.Parallel()
	r := newEraseRig(t)
	ctx := testContext(t)
	shop, bank := schemas.BotID{Tenant: "acme", Bot: "shop"}, schemas.BotID{Tenant: "acme", Bot: "bank"}
	other := schemas.BotID{Tenant: "bcme", Bot: "shop"}
	write := func(of schemas.BotID, n int) {
		key := of.WithConversation(fmt.Sprintf("k-%d", n))
		reply, err := schemas.NewReply(key, "e", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e"})
		require.NoError(t, err)
		require.NoError(t, bus.NewPublisher(r.js).PublishReply(ctx, of, reply))
		require.NoError(t, bus.NewDeadLetters(r.js, r.streams).Write(ctx, &bus.FailedEvent{
			BotID: of, Conversation: key.Conversation, Subject: schemas.Subject(schemas.SubjectEvents, key), Data: []byte("{}"),
			Sequence: uint64(100 + n), Received: time.Now(),
		}, fault.New(fault.UnknownBot, "because")))
		_, err = NewFiles(r.streams).Put(ctx, of, File{Name: "f"}, strings.NewReader("text"))
		require.NoError(t, err)
	}
	counts := func(of schemas.BotID) (replies, letters, files int) {
		require.NoError(t, bus.ReadReplies(ctx, r.streams, bus.Tail{ConversationKey: of.WithConversation("")},
			func(bus.StoredReply) (bool, error) { replies++; return true, nil }))
		list, err := bus.NewDeadLetters(r.js, r.streams).List(ctx, bus.DeadLetterFilter{BotID: of})
		require.NoError(t, err)
		all, err := r.streams.Files().List(ctx)
		require.NoError(t, err)
		for _, file := range all {
			if owner, _, _ := ownerOfFile(file.Name); owner == of {
				files++
			}
		}
		return replies, len(list), files
	}
	had := map[schemas.BotID][3]int{}
	for n, of := range []schemas.BotID{shop, bank, other, shop} {
		write(of, n)
	}
	before := time.Now() // the server has stored what it has acknowledged
	write(shop, 10)
	write(other, 11)
	for _, of := range []schemas.BotID{shop, bank, other} {
		replies, letters, files := counts(of)
		had[of] = [3]int{replies, letters, files}
	}
	keep := NewRetention(r.streams)
	replies, err := keep.Replies(ctx, shop, before)
	require.NoError(t, err)
	letters, err := keep.DeadLetters(ctx, shop, before)
	require.NoError(t, err)
	files, err := keep.Files(ctx, map[schemas.BotID]time.Time{shop: before})
	require.NoError(t, err)
	require.Equal(t, [3]int{replies + 1, letters + 1, files[shop] + 1}, had[shop], "all but the newest of each")
	require.Len(t, files, 1)
	left, lettersLeft, filesLeft := counts(shop)
	require.Equal(t, [3]int{1, 1, 1}, [3]int{left, lettersLeft, filesLeft})
	for _, of := range []schemas.BotID{bank, other} {
		a, b, c := counts(of)
		require.Equal(t, [3]int{a, b, c}, had[of], of)
	}
	again, err := keep.Replies(ctx, shop, before)
	require.NoError(t, err)
	require.Zero(t, again)
	all, err := keep.Replies(ctx, shop, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, all, "also when everything is older")
	_, err = keep.Replies(ctx, schemas.BotID{Tenant: "acme", Bot: "*"}, before)
	require.Error(t, err)
}
