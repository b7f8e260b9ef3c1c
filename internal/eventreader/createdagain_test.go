package eventreader

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestReader_StreamCreatedAgain: a stream of events that was created again begins at a sequence far above the former ones.
// Its events are handled once, in order.
func TestReader_StreamCreatedAgain(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 2})
	seen := newLedger()
	startReader(t, js, streams, Options{Handler: seen.handle})
	require.NoError(t, publishAll(testContext(t), js, 3, 4))
	requireEmpty(t, streams)
	require.NoError(t, bus.Ready(testContext(t), js))
	info, err := streams.Events().Info(testContext(t))
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(testContext(t), schemas.StreamEvents))
	require.NoError(t, bus.Ready(testContext(t), js), "the upkeep creates it again")
	require.NoError(t, publishAll(testContext(t), js, 3, 4))
	again, err := streams.Events().Info(testContext(t))
	require.NoError(t, err)
	require.Greater(t, again.Config.FirstSeq, info.State.LastSeq+1)
	requireEmpty(t, streams)
	require.Equal(t, 24, seen.distinct(), "each event has a sequence of its own")
	seen.requireOrder(t)
	for conversation, sequences := range seen.seen {
		require.Len(t, sequences, 8, conversation)
	}
}
