package limit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLimiter_SharedPauseIsMonotonic: the end of a pause does not move with the wall clock of the worker that applies it.
func TestLimiter_SharedPauseIsMonotonic(t *testing.T) {
	t.Parallel()
	l, until := &Limiter{}, time.Now().Add(time.Minute).Round(0) // from a message: without the monotonic clock
	l.Apply(StateChange{Endpoint: shop, State: StatePaused, Until: until})
	applied := l.Snapshot()[0].Until
	require.True(t, until.Equal(applied))
	require.Contains(t, applied.String(), " m=", "it has a reading of the monotonic clock")
}
