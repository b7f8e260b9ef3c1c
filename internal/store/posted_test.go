package store

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

func TestPosted_ContentOfAnID(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	p, ctx := NewPosted(streams), testContext(t)
	for _, key := range equalIDs() {
		content := key.Tenant + key.Bot + key.Conversation
		reserved := func(content string) bool {
			is, err := p.Reserved(ctx, key, "e1", content)
			require.NoError(t, err)
			return is
		}
		require.False(t, reserved(content))
		require.NoError(t, p.Reserve(ctx, key, "e1", content))
		require.NoError(t, p.Reserve(ctx, key, "e1", content), "the same again")
		require.True(t, reserved(content))
		require.False(t, reserved("other"))
		require.ErrorIs(t, p.Reserve(ctx, key, "e1", "other"), ErrOtherContent)
		require.NoError(t, p.Release(ctx, key, "e1"))
		require.False(t, reserved(content))
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
		if natsclient.IsStreamFull(err) {
			break
		}
		require.NoError(t, err)
	}
	large := strings.Repeat("x", 100<<10) // the bucket has room for less
	require.NoError(t, p.Reserve(ctx, key, "e1", large))
	require.ErrorIs(t, p.Reserve(ctx, other, "e1", large), ErrOtherContent, "what was reserved before counts")
}

// reserveMany reserves n ids of a tenant.
func reserveMany(t *testing.T, p *Posted, tenant string, n int) {
	t.Helper()
	var all sync.WaitGroup
	for part := range 32 {
		all.Go(func() {
			key := schemas.BotID{Tenant: tenant, Bot: "shop"}.WithConversation("c")
			for i := part; i < n; i += 32 {
				if err := p.Reserve(testContext(t), key, strconv.Itoa(i), strings.Repeat("f", 64)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestPosted_RoomForOthersAndForClaims: a tenant reserves half of the bucket, and all tenants three quarters, so that
// scripts can be claimed.
func TestPosted_RoomForOthersAndForClaims(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{"posted": bus.SizeMin}})
	p, ctx := NewPosted(streams), testContext(t)
	held := func() (messages, bytes int) {
		info, err := streams.BucketLog(bus.BucketPosted).Info(ctx)
		require.NoError(t, err)
		return int(info.State.Msgs), int(info.State.Bytes)
	}
	const size, more = bus.SizeMin, bus.SizeMin/postedBytes + 100
	reserveMany(t, p, "greedy", more)
	messages, bytes := held()
	require.Equal(t, size/2/postedBytes, messages)
	require.Less(t, bytes, size/2)
	require.Greater(t, bytes, size/3, "the size of a reservation is not that of the constant")
	key := schemas.BotID{Tenant: "greedy", Bot: "shop"}.WithConversation("c")
	require.NoError(t, p.Reserve(ctx, key, "beyond", "content"))
	require.NoError(t, p.Reserve(ctx, key, "beyond", "other"), "not reserved")
	require.NoError(t, p.Reserve(ctx, equalIDs()[0], "e1", "a"))
	require.ErrorIs(t, p.Reserve(ctx, equalIDs()[0], "e1", "b"), ErrOtherContent, "another tenant has its own share")
	reserveMany(t, p, "other", more)
	_, bytes = held()
	require.LessOrEqual(t, bytes, size*3/4)
	_, created, err := NewScriptClaims(streams).Claim(ctx, key.BotID, "r1", "w")
	require.NoError(t, err)
	require.True(t, created)
}

// TestPosted_RepetitionsHaveNoShare: an event that comes again takes no other place of the share.
func TestPosted_RepetitionsHaveNoShare(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	p, key := NewPosted(streams), equalIDs()[0]
	for range 20 {
		require.NoError(t, p.Reserve(testContext(t), key, "e1", "content"))
	}
	require.Equal(t, 1, p.shares.all.sum())
	require.Equal(t, 1, p.shares.tenants[key.Tenant].sum())
}
