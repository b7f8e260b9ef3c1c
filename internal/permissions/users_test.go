package permissions

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// TestUsers_CodeWorkerReadsNoCallbackKey stores both keys as the starter, and asks for them, and for the starter's
// answers, as the user of code workers.
func TestUsers_CodeWorkerReadsNoCallbackKey(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	_, starter := r.connect(t, Starter)
	nc, code := r.connect(t, Code)
	spy, err := nc.SubscribeSync(InboxPrefix(Starter) + ".>")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	streams, err := bus.Setup(testContext(t), starter, bus.StreamOptions{})
	require.NoError(t, err)
	key := func() ([]byte, error) { return []byte("a key"), nil }
	for _, purpose := range []string{"callback-address", "file-link"} {
		_, err = store.NewKeys(streams).Ensure(testContext(t), purpose, key)
		require.NoError(t, err)
	}
	streams, err = bus.Setup(testContext(t), code, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = store.NewKeys(streams).Ensure(testContext(t), "file-link", key)
	require.NoError(t, err)
	_, err = store.NewKeys(streams).Ensure(testContext(t), "callback-address", key)
	require.True(t, natsclient.IsDenied(err), "%v", err)
	queued, _, err := spy.Pending()
	require.True(t, err != nil || queued == 0, "a user receives the responses of another")
}

// TestUsers_ConsumersOfEngines: only the gateway, which reads replies with consumers of its own, and owners may delete the
// consumers by which engines read.
func TestUsers_ConsumersOfEngines(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	for user, denied := range map[string]bool{Worker: true, Code: true, Tools: true, Look: true, Setup: true, Starter: false} {
		_, js := r.connect(t, user)
		for _, stream := range []string{schemas.StreamReplies, schemas.StreamDeadLetters} {
			err := js.DeleteConsumer(testContext(t), stream, "acme")
			require.Equal(t, denied, natsclient.IsDenied(err), "%s: %v", user, err)
		}
	}
	_, starter := r.connect(t, Starter)
	require.False(t, bus.HasEngine(testContext(t), starter, "acme"))
	require.NoError(t, bus.EnsureEngine(testContext(t), starter, "acme"), "it creates again those that vanish")
	require.True(t, bus.HasEngine(testContext(t), starter, "acme"))
}

// TestUsers_RightsAreUsed lists rights that an earlier version of the table had and that nothing uses.
func TestUsers_RightsAreUsed(t *testing.T) {
	t.Parallel()
	for user, unused := range map[string][]string{
		Setup: {"$KV.HOOKTURN_CLAIMS.ready"},
		Starter: {
			"$JS.API.DIRECT.GET.HOOKTURN_REPLIES.>", "$JS.API.CONSUMER.UNPIN.HOOKTURN_REPLIES.*", "$JS.ACK.HOOKTURN_REPLIES.>",
			"$JS.API.CONSUMER.MSG.NEXT.HOOKTURN_DEADLETTERS.*", "$JS.ACK.HOOKTURN_DEADLETTERS.>",
			"$JS.API.DIRECT.GET.KV_HOOKTURN_CHATS.$KV.HOOKTURN_CHATS.>",
		},
		Worker: {
			"$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES.>", "$JS.API.CONSUMER.DELETE.HOOKTURN_REPLIES.*",
			"$JS.API.DIRECT.GET.KV_HOOKTURN_USERS.$KV.HOOKTURN_USERS.>",
			"$JS.API.DIRECT.GET.KV_HOOKTURN_ENDPOINTS.$KV.HOOKTURN_ENDPOINTS.>",
		},
		Code: {
			"$JS.API.DIRECT.GET.KV_HOOKTURN_PAUSES.$KV.HOOKTURN_PAUSES.>",
			"$JS.API.DIRECT.GET.KV_HOOKTURN_CHANNELS.$KV.HOOKTURN_CHANNELS.>",
		},
		Look: {"$JS.API.STREAM.MSG.GET.HOOKTURN_EVENTS"},
	} {
		of, _ := UserOf(user)
		for _, subject := range unused {
			require.NotContains(t, of.Publish, subject, user)
		}
	}
}
