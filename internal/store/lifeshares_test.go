package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestLifeShares_ClockSetBack: entries that were counted while the clock was ahead expire, as those after it.
func TestLifeShares_ClockSetBack(t *testing.T) {
	t.Parallel()
	const life, share = 2 * time.Minute, 3
	today := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	now := today.Add(24 * time.Hour)
	c := newLifeShares(bus.Streams{}, bus.BucketClaims, 1, 1)
	c.share, c.most, c.span, c.now = share, 2*share, life/lifeSpans, func() time.Time { return now }
	require.True(t, c.take("acme"))

	now = today
	for range share - 1 {
		require.True(t, c.take("acme"))
	}
	require.False(t, c.take("acme"), "the entry of before counts")
	for range share {
		require.True(t, c.take("other"))
	}
	require.False(t, c.take("third"), "all entries count")
	now = today.Add(life / 2)
	require.False(t, c.take("acme"))
	now = today.Add(life)
	for range share {
		require.True(t, c.take("acme"), "a life has passed")
		require.True(t, c.take("other"))
	}
	now = now.Add(-life / lifeSpans) // less than a life
	require.False(t, c.take("acme"))
}
