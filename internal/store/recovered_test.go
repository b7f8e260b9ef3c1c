package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestRecovered_SurvivesItsBucket: a mark is kept for each namespace, and stored again after its bucket was deleted.
func TestRecovered_SurvivesItsBucket(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	mark, other := NewRecovered(streams, "default"), NewRecovered(streams, "other")
	at := time.Date(2026, 11, 29, 12, 0, 0, 7, time.UTC)
	got, err := mark.Get(testContext(t))
	require.NoError(t, err)
	require.Zero(t, got)
	require.NoError(t, mark.Put(testContext(t), at))
	got, err = mark.Get(testContext(t))
	require.NoError(t, err)
	require.True(t, at.Equal(got))
	got, err = other.Get(testContext(t))
	require.NoError(t, err)
	require.Zero(t, got)

	require.NoError(t, js.DeleteKeyValue(testContext(t), bus.BucketRedrives))
	require.Eventually(t, func() bool { return mark.Put(testContext(t), at) == nil }, time.Minute, 20*time.Millisecond)
	got, err = mark.Get(testContext(t))
	require.NoError(t, err)
	require.True(t, at.Equal(got))
}
