package store

import (
	"strconv"
	"strings"
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

// TestPosted_FullBucket: a tenant that fills the bucket does not end the events of the others.
func TestPosted_FullBucket(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{"posted": bus.SizeMin}})
	p, ctx := NewPosted(streams), testContext(t)
	key, other := equalIDs()[0], equalIDs()[1]
	require.NoError(t, p.Reserve(ctx, other, "e1", "content"))
	for full := 0; ; full++ {
		_, err := streams.Bucket(bus.BucketPosted).Put(ctx, strconv.Itoa(full), make([]byte, 100<<10))
		if bus.IsStreamFull(err) {
			break
		}
		require.NoError(t, err)
	}
	large := strings.Repeat("x", 100<<10) // the bucket has room for less
	require.NoError(t, p.Reserve(ctx, key, "e1", large))
	require.ErrorIs(t, p.Reserve(ctx, other, "e1", large), ErrOtherContent, "what was reserved before counts")
}
