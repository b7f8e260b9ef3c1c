package intake

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/eventreader"
)

// TestTries_OldOnesAreLookedForOnceAMinute: with many events that fail, not each of them has the others looked at.
func TestTries_OldOnesAreLookedForOnceAMinute(t *testing.T) {
	t.Parallel()
	begun, sequence := time.Now(), uint64(0)
	var events tries
	fail := func(count int, at time.Duration) {
		for range count {
			sequence++
			events.failed(&eventreader.Message{Sequence: sequence, Received: begun}, nil, begun.Add(at))
		}
	}
	fail(triesKept, 0)
	later := triesFor + time.Second
	fail(1, later)
	require.Len(t, events.all, 1, "the old ones are dropped")

	fail(triesKept, 0) // as if they were old
	fail(1, later+dropEvery-time.Second)
	require.Len(t, events.all, triesKept+2, "old ones were looked for a moment ago")
	fail(1, later+dropEvery)
	require.Len(t, events.all, 3)
}

// BenchmarkTries_Outage: each event that fails for the first time, while many others do.
func BenchmarkTries_Outage(b *testing.B) {
	now := time.Now()
	var events tries
	fail := func(sequence int) {
		events.failed(&eventreader.Message{Sequence: uint64(sequence), Received: now}, nil, now)
	}
	for k := range 10 * triesKept {
		events.all = put(events.all, eventreader.StoredID{Sequence: uint64(k), Received: now.UnixNano()}, now)
	}
	b.ResetTimer()
	for k := range b.N {
		fail(10*triesKept + k)
	}
}

func put(all map[eventreader.StoredID]tried, at eventreader.StoredID, now time.Time) map[eventreader.StoredID]tried {
	if all == nil {
		all = map[eventreader.StoredID]tried{}
	}
	all[at] = tried{last: now}
	return all
}
