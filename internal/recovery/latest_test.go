package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/recovery"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_ScriptOfTerminatedRunNotTwice: of the scripts that a terminated run had accepted, only the first one may have
// begun. The others run, in their order and before the events that come later.
func TestRecovery_ScriptOfTerminatedRunNotTwice(t *testing.T) {
	t.Parallel()
	lab := schemas.BotID{Tenant: "default", Bot: "lab"}.WithConversation("c-42")
	next := intaketest.Message("lab", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
	for name, tc := range map[string]struct {
		busy int32 // recoveries under way
		away error // why the latest run cannot be looked at for the first event
		then func(t *testing.T, in *intake.Intake, rec *recovery.Recovery)
		want []string
	}{
		"recovered at once": {want: []string{"e1", "e1"}},
		"recovered later": {busy: recovery.LatestMax, want: []string{"e1", "e1"}, then: func(t *testing.T, _ *intake.Intake, rec *recovery.Recovery) {
			t.Helper()
			require.NoError(t, rec.RecoverOnce(t.Context()))
		}},
		"recovered before the next event": {
			away: serviceerror.NewUnavailable("away"), want: []string{"e1", "e1", "e2"},
			then: func(t *testing.T, in *intake.Intake, _ *recovery.Recovery) {
				t.Helper()
				intaketest.RequireOutcome(t, in.Handle(t.Context(), next), "", false)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			rec := recoveryOf(in)
			n := newNamespace(t, c)
			n.away = tc.away
			intaketest.NoneOpen(c)
			var sent *[]step.Delivery
			sent = intaketest.LostAtFirst(c, func() {
				n.terminated(lab, "run-1", time.Second)
				n.histories["run-1"] = func() *run {
					r := (&run{t: t, plan: (*sent)[0].Plan}).started("Conversation", step.State{ConversationKey: lab})
					return r.accepted("e0", schemas.TypeStepRequested).accepted("e1", schemas.TypeStepRequested)
				}
			})
			rec.Recovering(tc.busy)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("lab")), "", false)
			n.away = nil
			if tc.then != nil {
				require.Len(t, *sent, 1)
				tc.then(t, in, rec)
			}
			var taken []string
			for _, d := range *sent {
				taken = append(taken, d.Event.ID)
				require.Nil(t, d.Refused)
			}
			require.Equal(t, tc.want, taken)
			require.Equal(t, []string{"e0 outcome_unknown"}, answers(t, rec))
		})
	}
}

// TestRecovery_RecoveredIntoTerminatedRun: the recovery goes on with the events of a run, in their order, when the run that took
// one of them has ended early as well.
func TestRecovery_RecoveredIntoTerminatedRun(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second, "e1", "e2")
	sent := intaketest.LostAtFirst(c, func() { n.terminated(key, "run-1", 0) })
	require.NoError(t, rec.RecoverOnce(t.Context()))
	var taken []string
	for _, d := range *sent {
		taken = append(taken, d.Event.ID)
	}
	require.Equal(t, []string{"e1", "e1", "e2"}, taken)
}

// TestRecovery_EndedRunBeforeNewEvent: a new event that finds its run ended early goes behind what the run had accepted. A
// few at a time do: under overload the events go first.
func TestRecovery_EndedRunBeforeNewEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		busy int32
		want []string
	}{
		"one":  {0, []string{"e0", "e1", "e2", "e3"}},
		"many": {recovery.LatestMax, []string{"e0", "e3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			rec := recoveryOf(in)
			n := newNamespace(t, c)
			intaketest.NoneOpen(c)
			taken := takers(c, none)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e0")), "", false)
			n.terminated(key, "run-1", time.Second, "e1", "e2")
			rec.Recovering(tc.busy)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e3")), "", false)
			require.Equal(t, tc.want, *taken)
		})
	}
}
