package dispatch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ErrBusy is the error for a run that is about to continue as new.
var ErrBusy = errBusy

// TestTries_WaitForRecovery: only the time in which the recovery of the run before it was all that an event waited for is
// counted. A wait that is over stays over.
func TestTries_WaitForRecovery(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	behind, other := fmt.Errorf("try: %w: %w", errBehind, ErrNoPlace), errors.New("surprise")
	minutes := func(n int) time.Time { return begun.Add(time.Duration(n) * time.Minute) }
	tried := Tries{}.Failed(other, minutes(0)).Failed(behind, minutes(60))
	require.Equal(t, Tries{Count: 2, First: minutes(0), Behind: minutes(60)}, tried)
	require.Less(t, tried.behindFor(minutes(74)), behindMax)
	require.Zero(t, tried.Failed(other, minutes(70)).behindFor(minutes(80)))
	tried = tried.Failed(behind, minutes(75))
	require.GreaterOrEqual(t, tried.behindFor(minutes(75)), behindMax)
	require.GreaterOrEqual(t, tried.Failed(other, minutes(76)).behindFor(minutes(76)), behindMax)
}
