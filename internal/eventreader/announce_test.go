package eventreader

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestReader_AnnouncementChanges: the other starters can read a change long before the key is due to be refreshed.
func TestReader_AnnouncementChanges(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1, StarterTTL: 24 * longLease})
	var value atomic.Value
	value.Store("first")
	r := NewReader(js, streams, Options{
		Name: "one", Handler: newLedger().handle, Announcement: func() string { return value.Load().(string) },
	})
	announced := func() string {
		entry, err := streams.Bucket(bus.BucketStarters).Get(testContext(t), "one")
		require.NoError(t, err)
		return string(entry.Value())
	}
	require.NoError(t, r.announce(testContext(t)))
	require.Equal(t, "first", announced())
	value.Store("second")
	require.NoError(t, r.announce(testContext(t)))
	require.Equal(t, "second", announced())
}
