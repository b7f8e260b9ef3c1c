package recovery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
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
		busy int   // recoveries of the tenant under way
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
			rec.Recovering("default", tc.busy)
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

// TestRecovery_EndedRunBeforeNewEvent: a new event that finds its run ended early goes behind what the run had accepted, in a
// later try when it cannot be recovered at once. A run that the rounds have given up delays no event.
func TestRecovery_EndedRunBeforeNewEvent(t *testing.T) {
	t.Parallel()
	surprise, first := errors.New("surprise"), []string{"e0", "e1", "e2", "e3"}
	for name, tc := range map[string]struct {
		busy     map[string]int // recoveries under way at the first try, by tenant
		fails    error          // why the history cannot be read at the first try
		away     error          // why the latest run cannot be looked at then
		ended    time.Duration  // how long ago
		again    string         // why the event is tried again, "" when it is not
		overload bool
		want     []string
	}{
		"at once":                     {want: first},
		"places of the tenant taken":  {busy: map[string]int{"default": recovery.LatestMax}, again: "recovering", want: first},
		"places of another one taken": {busy: map[string]int{"acme": recovery.LatestMax}, want: first},
		"Temporal away":               {away: serviceerror.NewUnavailable("away"), again: "unavailable", overload: true, want: first},
		"fails":                       {fails: surprise, again: "recovering", want: first},
		"fails, ended long ago":       {fails: surprise, ended: recovery.LatestFor + time.Minute, want: []string{"e0", "e3"}},
		"no place, ended long ago": {
			busy: map[string]int{"default": recovery.LatestMax}, ended: recovery.LatestFor + time.Minute, again: "recovering", want: first,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			rec := recoveryOf(in)
			n := newNamespace(t, c)
			intaketest.NoneOpen(c)
			taken := takers(c, none)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), event("e0")), "", false)
			n.terminated(key, "run-1", tc.ended, "e1", "e2")
			history := n.histories["run-1"]
			if tc.fails != nil {
				n.histories["run-1"] = func() *run { return &run{t: t, fail: tc.fails} }
			}
			n.away = tc.away
			var ends []func()
			for tenant, count := range tc.busy {
				ends = append(ends, rec.Recovering(tenant, count))
			}
			e3 := event("e3")
			if tc.again != "" {
				o := in.Handle(t.Context(), e3)
				intaketest.RequireOutcome(t, o, "", true)
				require.Equal(t, tc.again, dispatch.RetryKind(o.Err()))
				require.Equal(t, tc.overload, dispatch.Overloaded(o.Err()))
				n.histories["run-1"], n.away = history, nil
				for _, end := range ends {
					end()
				}
			}
			intaketest.RequireOutcome(t, in.Handle(t.Context(), e3), "", false)
			require.Equal(t, tc.want, *taken)
		})
	}
}

// event returns a new event of the conversation of key.
func event(id string) *eventreader.Message {
	return intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)
}

// asked looks at the latest runs of conversations of the tenant acme, at the same time, and returns when all of them have
// come to a point. done returns what became of them.
func asked(t *testing.T, rec *recovery.Recovery, ids []string, arrived <-chan struct{}) (done func() []error) {
	t.Helper()
	results := make(chan error, len(ids))
	for _, id := range ids {
		go func() { results <- rec.Latest(t.Context(), step.ConversationID(conversation("acme", id))) }()
	}
	for range ids {
		select {
		case <-arrived:
		case err := <-results:
			t.Fatalf("a look-up ended before it came to the point: %v", err)
		}
	}
	return func() (all []error) {
		for range ids {
			all = append(all, <-results)
		}
		return all
	}
}

func ids(prefix string, count int) (all []string) {
	for k := range count {
		all = append(all, fmt.Sprintf("%s-%d", prefix, k))
	}
	return all
}

// TestRecovery_LookUpsTakeNoPlace: conversations that were closed have nothing to recover, however many of them go on while
// Temporal is slow. Neither another tenant's run that ended early waits for them, nor one of the same tenant.
func TestRecovery_LookUpsTakeNoPlace(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	rec := recoveryOf(in)
	n := newNamespace(t, c)
	intaketest.NoneOpen(c)
	taken := takers(c, none)
	closed := ids("closed", 2*recovery.LatestMax)
	for _, id := range closed {
		n.terminated(conversation("acme", id), id, time.Second)
		n.runs[len(n.runs)-1].Status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	n.terminated(conversation("acme", "ended"), "ended", time.Second, "a1")
	arrived, answer := make(chan struct{}), make(chan struct{})
	n.looked = func(id string) {
		if strings.HasPrefix(id, "conversation/acme/shop/closed") {
			arrived <- struct{}{}
			<-answer
		}
	}
	intaketest.RequireOutcome(t, in.Handle(t.Context(), event("e0")), "", false)
	n.terminated(key, "run-1", time.Second, "e1", "e2")
	done := asked(t, rec, closed, arrived)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), event("e3")), "", false)
	require.NoError(t, rec.Latest(t.Context(), step.ConversationID(conversation("acme", "ended"))))
	require.Equal(t, []string{"e0", "e1", "e2", "e3", "a1"}, *taken)
	close(answer)
	for _, err := range done() {
		require.NoError(t, err)
	}
}

// TestRecovery_PlacesOfEachTenant: as many recoveries of a tenant as may be delay the tenant's others, and those of no other
// tenant.
func TestRecovery_PlacesOfEachTenant(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	rec := recoveryOf(in)
	n := newNamespace(t, c)
	intaketest.NoneOpen(c)
	arrived, answer := make(chan struct{}), make(chan struct{})
	taken := takers(c, func(o client.UpdateWorkflowOptions) error {
		if strings.HasPrefix(o.WorkflowID, "conversation/acme/shop/ended") {
			arrived <- struct{}{}
			<-answer
		}
		return nil
	})
	ended := ids("ended", recovery.LatestMax)
	for _, id := range append(ended, "one-more") {
		n.terminated(conversation("acme", id), id, time.Second, id)
	}
	intaketest.RequireOutcome(t, in.Handle(t.Context(), event("e0")), "", false)
	n.terminated(key, "run-1", time.Second, "e1", "e2")
	done := asked(t, rec, ended, arrived)
	more := step.ConversationID(conversation("acme", "one-more"))
	err := rec.Latest(t.Context(), more)
	require.ErrorIs(t, err, dispatch.ErrNoPlace)
	require.True(t, dispatch.Passing(err))
	intaketest.RequireOutcome(t, in.Handle(t.Context(), event("e3")), "", false)
	require.Equal(t, []string{"e0", "e1", "e2", "e3"}, *taken)
	close(answer)
	for _, err := range done() {
		require.NoError(t, err)
	}
	require.NoError(t, rec.Latest(t.Context(), more), "a place is free again")
}
