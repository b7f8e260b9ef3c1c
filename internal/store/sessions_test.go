package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

func TestSessions_RevisionDecides(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	s, ctx := NewSessions(js, streams), testContext(t)
	for _, key := range append(equalIDs(), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("+31 6.*>")) {
		data, revision, err := s.Get(ctx, key)
		require.NoError(t, err)
		require.Empty(t, data, "another conversation's")

		stored, err := s.Put(ctx, key, []byte(key.Conversation), revision)
		require.NoError(t, err)
		require.True(t, stored)
		stored, err = s.Put(ctx, key, []byte("late"), revision)
		require.NoError(t, err)
		require.False(t, stored, "another worker wrote in between")

		data, revision, err = s.Get(ctx, key)
		require.NoError(t, err)
		require.Equal(t, key.Conversation, string(data))
		stored, err = s.Put(ctx, key, nil, revision)
		require.NoError(t, err)
		require.True(t, stored)
		data, revision, err = s.Get(ctx, key)
		require.NoError(t, err)
		require.Nil(t, data)
		stored, err = s.Put(ctx, key, []byte("again"), revision)
		require.NoError(t, err)
		require.True(t, stored)
	}
}
