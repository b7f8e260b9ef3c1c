package permissions

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
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
