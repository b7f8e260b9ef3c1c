package store

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestScriptClaims_OneOfAll: of all workers that claim the script of a run, one may begin it, and each learns which.
func TestScriptClaims_OneOfAll(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	claims, ctx := NewScriptClaims(streams), testContext(t)
	names := []string{"a", "b", "c", "d"}
	holders, made := make([]string, len(names)), make([]bool, len(names))
	var claiming sync.WaitGroup
	for i, name := range names {
		claiming.Go(func() {
			var err error
			holders[i], made[i], err = claims.Claim(ctx, equalIDs()[0].BotID, "r1", name)
			if err != nil {
				t.Error(err)
			}
		})
	}
	claiming.Wait()
	created := 0
	for i, name := range names {
		require.Equal(t, holders[0], holders[i])
		require.Equal(t, holders[i] == name, made[i])
		if made[i] {
			created++
		}
	}
	require.Equal(t, 1, created)

	for _, key := range equalIDs()[2:] {
		holder, created, err := claims.Claim(ctx, key.BotID, "r1", "e")
		require.NoError(t, err)
		require.True(t, created, "the run of another bot")
		require.Equal(t, "e", holder)
	}
}

// TestScriptClaims_Since: a bucket that was lost and created again does not have the claims of before.
func TestScriptClaims_Since(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	b, ctx := NewScriptClaims(streams), testContext(t)
	before, err := b.Since(ctx)
	require.NoError(t, err)
	unguarded, err := jetstream.New(js.Conn())
	require.NoError(t, err)
	require.NoError(t, unguarded.DeleteKeyValue(ctx, bus.BucketPosted))
	_, created, err := b.Claim(ctx, equalIDs()[0].BotID, "r1", "a")
	require.NoError(t, err)
	require.True(t, created)
	after, err := b.Since(ctx)
	require.NoError(t, err)
	require.True(t, after.After(before))
}
