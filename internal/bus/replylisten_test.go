package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestReplies_ListenSharesSubscription: requests that wait for replies of one conversation cost one subscription on NATS.
func TestReplies_ListenSharesSubscription(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	before := js.Conn().NumSubscriptions()
	const waits = 256
	var found []<-chan schemas.Reply
	var stops []func()
	listen := func(conversation, id string) {
		f, stop, err := r.Listen(shopID().WithConversation(conversation), []string{id})
		require.NoError(t, err)
		found, stops = append(found, f), append(stops, stop)
	}
	for range waits {
		listen("chat 1", "r-1")
	}
	listen("chat 1", "r-2")
	require.Equal(t, before+1, js.Conn().NumSubscriptions())
	listen("chat 2", "r-1")
	require.Equal(t, before+2, js.Conn().NumSubscriptions())

	for _, id := range []string{"r-0", "r-1"} {
		reply := aReply()
		reply.ID = id
		require.NoError(t, r.publisher.PublishReply(testContext(t), shopID(), reply))
	}
	for _, f := range found[:waits] {
		select {
		case reply := <-f:
			require.Equal(t, "r-1", reply.ID)
		case <-time.After(soon):
			require.Fail(t, "a reply was lost")
		}
	}
	require.Empty(t, found[waits], "it waits for another reply")
	require.Empty(t, found[waits+1], "it waits for another conversation")
	for _, stop := range stops[:waits] {
		stop()
		stop()
	}
	require.Equal(t, before+2, js.Conn().NumSubscriptions())
	require.NoError(t, js.Conn().Flush())
	reply := aReply()
	reply.ID = "r-2"
	require.NoError(t, r.publisher.PublishReply(testContext(t), shopID(), reply))
	require.Equal(t, "r-2", (<-found[waits]).ID, "the subscription ended before its last wait")
	for _, stop := range stops[waits:] {
		stop()
	}
	require.Equal(t, before, js.Conn().NumSubscriptions())
	require.Empty(t, r.waits.subjects)
}
