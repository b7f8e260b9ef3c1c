package store

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// TestStore_HostileIDsLeaveTheConnectionOpen passes every hostile text to each store that takes a text from outside as
// it is.
func TestStore_HostileIDsLeaveTheConnectionOpen(t *testing.T) {
	t.Parallel()
	js, s := setup(t, bus.StreamOptions{})
	ctx, files := testContext(t), NewFiles(s)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, text := range natstest.Hostile() {
		_, _, err := files.Get(ctx, shop, text)
		require.ErrorIs(t, err, ErrNoFile, name)
		require.ErrorIs(t, files.Delete(ctx, shop, text), ErrNoFile, name)
		_, err = NewClaims(s).Claim(ctx, "acme", text)
		require.Error(t, err, name)
		_, err = NewChats(js, s).Conversation(ctx, shop, text)
		require.Error(t, err, name)
		_, err = NewChannels(s).Put(ctx, text, nil, 0)
		require.Error(t, err, name)
		require.NoError(t, bus.Ready(ctx, js), name)
		require.False(t, js.Conn().IsClosed(), name)
	}
}

func TestStore_LongIdentityFitsKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	owner := schemas.BotID{Tenant: long, Bot: long}
	require.NoError(t, natsclient.CheckKey(fileName(owner, uuid.NewString())))
	require.NoError(t, natsclient.CheckKey(endpointKey(owner, "https://x.example/")))
	require.NoError(t, natsclient.CheckKey(queueSubject(owner, "a step's name")))
}

func FuzzKeys(f *testing.F) {
	for _, text := range natstest.Hostile() {
		f.Add(text, text)
	}
	owner := schemas.BotID{Tenant: "t", Bot: "b"}
	f.Fuzz(func(t *testing.T, id, name string) {
		require.NoError(t, natsclient.CheckKey(queueSubject(owner, name)))
		require.NoError(t, natsclient.CheckKey(endpointKey(owner, name)))
		if IsFileID(id) {
			require.NoError(t, natsclient.CheckKey(fileName(owner, id)))
		}
	})
}
