package eventreader

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

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

// attached is a context that counts who waits for its end.
type attached struct {
	context.Context

	count atomic.Int64
}

// Value hides the context within, so that derived contexts use AfterFunc.
func (*attached) Value(any) any { return nil }

// AfterFunc is how a derived context waits for the end of this one.
func (a *attached) AfterFunc(f func()) (stop func() bool) {
	a.count.Add(1)
	detach := context.AfterFunc(a.Context, f)
	return func() bool { a.count.Add(-1); return detach() }
}

// TestPartition_HoldUntil: a hold ends at its latest time, and one that is recalled leaves nothing at the context for whose
// end it waited, which may come much later.
func TestPartition_HoldUntil(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	p := newPartition(NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()}, nil)
	defer p.cancel()
	p.mu.Lock()
	p.closing = true // tasks do not run
	p.backlogs["acme"] = &backlog{}
	m := &Message{Sequence: 5, Received: time.Now(), stored: "x", tenant: "acme"}
	p.enqueue(p.backlogs["acme"], m)
	q := p.queues[m.stored]
	p.mu.Unlock()
	over := &attached{Context: t.Context()}
	waits := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.resting[q] != nil
	}

	p.hold(HoldUntil(over, time.Now().Add(time.Hour), "test"), q)
	require.True(t, waits())
	require.EqualValues(t, 1, over.count.Load())
	p.recall("acme", 1<<40)
	require.False(t, waits())
	require.Zero(t, over.count.Load())

	p.hold(HoldUntil(over, time.Now().Add(time.Millisecond), "test"), q)
	require.Eventually(t, func() bool { return !waits() && over.count.Load() == 0 }, soon, poll)
}
