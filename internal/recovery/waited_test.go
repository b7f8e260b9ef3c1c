package recovery_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_PassingFailureIsWaitedFor: an event of a run that ended early is not given up for what passes, even when other
// failures were tried for long enough before; and the time until then does not count when others follow.
func TestRecovery_PassingFailureIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{
		"full":          temporal.NewApplicationError("full", step.RejectedLimit),
		"about to end":  temporal.NewApplicationError("busy", step.RejectedBusy),
		"full server":   &serviceerror.ResourceExhausted{Cause: enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT},
		"Temporal away": serviceerror.NewUnavailable("away"),
		"no access":     serviceerror.NewPermissionDenied("no", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rec, c := setup(t)
				newNamespace(t, c).terminated(conversation("acme", "c-1"), "ended", time.Minute, "e1")
				written := &letters{}
				rec.Letters = written
				begun := time.Now()
				taken := takers(c, func(client.UpdateWorkflowOptions) error {
					switch since := time.Since(begun); {
					case since < 10*time.Minute:
						return errors.New("surprise")
					case since < 22*time.Minute:
						return fails
					case since < 30*time.Minute:
						return errors.New("surprise")
					}
					return nil
				})
				recovering(t, rec, time.Hour)
				require.Empty(t, written.ids)
				require.Equal(t, []string{"e1"}, *taken)
			})
		})
	}
}

// TestRecovery_ClockOfTemporal: runs end by the clock of Temporal. A starter whose own clock differs recovers them as soon as
// others do, and what it stores for the starters that come later is not ahead of Temporal's time.
func TestRecovery_ClockOfTemporal(t *testing.T) {
	t.Parallel()
	for name, differs := range map[string]time.Duration{
		"starter ahead": -10 * time.Minute, "starter behind": 10 * time.Minute, "equal": 0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rec, c := setup(t)
				n := newNamespace(t, c)
				polled(c, differs)
				stored := &mark{}
				rec.Mark = stored
				begun, at := time.Now(), time.Duration(-1)
				n.terminated(key, "ended", -5*time.Minute-differs, "e1") // in five minutes: not listed before
				n.lists = func(time.Time, time.Time) error {
					n.hidden = time.Since(begun) < 5*time.Minute
					return nil
				}
				takers(c, func(client.UpdateWorkflowOptions) error {
					at = time.Since(begun)
					return nil
				})
				recovering(t, rec, 10*time.Minute)
				require.GreaterOrEqual(t, at, 5*time.Minute)
				require.Less(t, at, 6*time.Minute)
				require.WithinDuration(t, time.Now().Add(min(differs, 0)-2*time.Minute), stored.at, 2*time.Minute)
			})
		})
	}
}

// TestRecovery_ClockOfEngine: which of two steps was requested first is seen by when they were stored. The engine's clock may have
// been set back between them.
func TestRecovery_ClockOfEngine(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Minute)
	now := time.Now()
	n.histories["ended"] = func() *run {
		return (&run{t: t, at: now}).started("Conversation", step.State{ConversationKey: key}).
			accepted("e1", schemas.TypeStepRequested).accepted("e2", schemas.TypeStepRequested)
	}
	n.open[step.ConversationID(key)] = "open"
	n.histories["open"] = func() *run {
		waiting := step.Delivery{Event: schemas.Event{ID: "w1", Type: schemas.TypeStepRequested, Time: now.Add(-time.Hour)}}
		waiting.Stored = now.Add(time.Minute)
		return (&run{t: t}).started("Conversation", step.State{ConversationKey: key, Waiting: &waiting})
	}
	taken := takers(c, none)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Empty(t, *taken, "they would cancel the newer step")
	require.Equal(t, []string{"e1 outcome_unknown", "e2 cancelled"}, answers(t, rec))
}
