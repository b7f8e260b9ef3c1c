package store

import (
	"sync"
	"testing"
	"time"

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

// TestScriptClaims_Pass: a code worker that could not begin a script passes its claim on.
func TestScriptClaims_Pass(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	claims, ctx, owner := NewScriptClaims(streams), testContext(t), equalIDs()[0].BotID
	_, created, err := claims.Claim(ctx, owner, "r1", "a")
	require.NoError(t, err)
	require.True(t, created)
	require.NoError(t, claims.Pass(ctx, owner, "r1", "b"))
	holder, created, err := claims.Claim(ctx, owner, "r1", "c")
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, "b", holder)
}

// TestScriptClaims_Expire: claims that have expired are not stored, like those of a bucket that was created later.
func TestScriptClaims_Expire(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, time.Hour: 10 * time.Minute} {
		info := jetstream.StreamInfo{TimeStamp: now, Created: now.Add(-ago)}
		info.Config.MaxAge = 10 * time.Minute
		require.Equal(t, now.Add(-want), claimedSince(&info))
	}
	info := jetstream.StreamInfo{TimeStamp: now, Created: now.Add(-time.Hour)}
	require.Equal(t, info.Created, claimedSince(&info), "an operator has set no age")
	_, streams := setup(t, bus.StreamOptions{})
	stored, err := streams.BucketLog(bus.BucketPosted).Info(testContext(t))
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, stored.Config.MaxAge, "firstAttemptsFor of package codeworker is shorter")
	require.False(t, stored.TimeStamp.IsZero())
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
