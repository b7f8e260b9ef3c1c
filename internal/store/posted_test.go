package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func TestPosted_ContentOfAnID(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	p, ctx := NewPosted(streams), testContext(t)
	for _, key := range equalIDs() {
		content := key.Tenant + key.Bot + key.Conversation
		require.NoError(t, p.Reserve(ctx, key, "e1", content))
		require.NoError(t, p.Reserve(ctx, key, "e1", content), "the same again")
		require.ErrorIs(t, p.Reserve(ctx, key, "e1", "other"), ErrOtherContent)
		require.NoError(t, p.Release(ctx, key, "e1"))
		require.NoError(t, p.Reserve(ctx, key, "e1", "other"))
	}
}
