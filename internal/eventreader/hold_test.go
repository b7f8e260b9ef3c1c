package eventreader

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestReader_HeldEventsWaitInOrder holds the events of one bot: those of another bot go on, in as many slots as there are.
func TestReader_HeldEventsWaitInOrder(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	over, resume := context.WithCancel(t.Context())
	defer resume()
	var held atomic.Int32
	handled := make(chan string, 100)
	startReader(t, js, streams, Options{MaxInFlight: 1, Handler: func(_ context.Context, m *Message) Outcome {
		if m.Bot == "paused" && over.Err() == nil {
			held.Add(1)
			return Hold(over, "test")
		}
		handled <- m.Bot + " " + string(m.Data)
		return Ack()
	}})
	for _, subject := range []string{"paused.c-1", "paused.c-1", "paused.c-2", "other.c-1"} {
		_, err := js.Publish(testContext(t), "hookturn.events.default."+subject, []byte(subject))
		require.NoError(t, err)
	}
	require.Equal(t, "other other.c-1", <-handled)
	require.Eventually(t, func() bool { return held.Load() == 2 }, soon, poll, "one of each conversation")
	resume()
	got := []string{<-handled, <-handled, <-handled}
	require.ElementsMatch(t, []string{"paused paused.c-1", "paused paused.c-1", "paused paused.c-2"}, got)
	require.EqualValues(t, 2, held.Load(), "a held event costs no call until its pause is over")
}
