package permissions

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	for _, purpose := range []string{"callback-address", "file-link"} {
		require.NoError(t, shareKey(testContext(t), starter, streams, purpose, "a key"))
	}
	streams, err = bus.Setup(testContext(t), code, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, shareKey(testContext(t), code, streams, "file-link", ""))
	err = shareKey(testContext(t), code, streams, "callback-address", "")
	require.True(t, natsclient.IsDenied(err), "%v", err)
	queued, _, err := spy.Pending()
	require.True(t, err != nil || queued == 0, "a user receives the responses of another")
}

// shareKey reads a key of the installation, and stores one when there is none. "": it only reads.
func shareKey(ctx context.Context, js jetstream.JetStream, s bus.Streams, purpose, key string) error {
	shared := store.SharedKey{Name: purpose, Use: func([][]byte) error { return nil }}
	if key != "" {
		shared.Create = func() ([]byte, error) { return []byte(key), nil }
	}
	_, err := store.NewKeys(js, s).Share(ctx, shared)
	return err
}

// TestUsers_KeysAreWrittenByFew: a key is used for signing by all processes as soon as it is stored. A code worker, which a
// script can have taken over, stores none; the processes that sign and verify compare theirs.
func TestUsers_KeysAreWrittenByFew(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	_, starter := r.connect(t, Starter)
	_, err := bus.Setup(testContext(t), starter, bus.StreamOptions{})
	require.NoError(t, err)
	for user, may := range map[string]bool{Starter: true, Worker: true, Code: false, Tools: false, Look: false, Setup: false} {
		_, js := r.connect(t, user)
		of, _ := UserOf(user)
		for _, purpose := range []string{"callback-address", "file-link"} {
			_, err := js.Publish(testContext(t), of.local("$KV.HOOKTURN_KEYS."+purpose), []byte("of "+user))
			require.Equal(t, !may, natsclient.IsDenied(err), "%s: %v", user, err)
		}
		_, err = js.Publish(testContext(t), of.local("$KV.HOOKTURN_KEYS.other"), []byte("of "+user))
		require.True(t, natsclient.IsDenied(err), "%s: %v", user, err)
	}
}

// TestUsers_KeyReplaced: starters and workers store the earlier key beside the one that another process has stored, with the
// permissions that they have.
func TestUsers_KeyReplaced(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	_, owner := r.connect(t, Operator)
	for _, user := range []string{Starter, Worker} {
		_, js := r.connect(t, user)
		streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{})
		require.NoError(t, err)
		used := 0
		_, err = store.NewKeys(js, streams).Share(testContext(t), store.SharedKey{
			Name: "file-link", Life: time.Hour, Create: func() ([]byte, error) { return []byte("k-1"), nil },
			Use: func(keys [][]byte) error { used = len(keys); return nil },
		})
		require.NoError(t, err)
		before := used
		_, err = owner.Publish(testContext(t), "$KV.HOOKTURN_KEYS.file-link", []byte("by"+user[:1]))
		require.NoError(t, err)
		require.NoError(t, bus.Ready(testContext(t), js))
		require.Equal(t, before+1, used, "%s has both", user)
	}
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
	finds := func(want ...string) {
		with, err := bus.WithEngines(testContext(t), starter, map[string]bool{"acme": true})
		require.NoError(t, err)
		require.Equal(t, want, with)
	}
	finds()
	require.NoError(t, bus.EnsureEngine(testContext(t), starter, "acme"), "it creates again those that vanish")
	finds("acme")
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
			"$JS.API.DIRECT.GET.KV_HOOKTURN_CHANNELS.$KV.HOOKTURN_CHANNELS.>", "$KV.HOOKTURN_KEYS.file-link",
		},
		Look: {"$JS.API.STREAM.MSG.GET.HOOKTURN_EVENTS"},
	} {
		of, _ := UserOf(user)
		for _, subject := range unused {
			require.NotContains(t, of.Publish, subject, user)
		}
	}
}
