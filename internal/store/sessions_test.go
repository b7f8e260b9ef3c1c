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
		at, err := s.Get(ctx, key)
		require.NoError(t, err)
		require.Empty(t, at.Data, "another conversation's")

		at.Data, at.Fence = []byte(key.Conversation), 7
		stored, err := s.Put(ctx, key, at)
		require.NoError(t, err)
		require.True(t, stored)
		stored, err = s.Put(ctx, key, Session{Data: []byte("late"), Revision: at.Revision})
		require.NoError(t, err)
		require.False(t, stored, "another worker wrote in between")

		at, err = s.Get(ctx, key)
		require.NoError(t, err)
		require.Equal(t, key.Conversation, string(at.Data))
		require.EqualValues(t, 7, at.Fence)
		stored, err = s.Put(ctx, key, Session{Fence: 8, Revision: at.Revision})
		require.NoError(t, err)
		require.True(t, stored)
		at, err = s.Get(ctx, key)
		require.NoError(t, err)
		require.Nil(t, at.Data)
		require.EqualValues(t, 8, at.Fence, "of the removal")
		for fence, older := range map[int64]bool{7: true, 8: false, 9: false, 0: false} {
			require.Equal(t, older, at.Older(fence))
		}
		at.Data = []byte("again")
		stored, err = s.Put(ctx, key, at)
		require.NoError(t, err)
		require.True(t, stored)
	}
}
