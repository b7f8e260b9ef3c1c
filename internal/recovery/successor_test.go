package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_ResetRun: what the run has that an operator's reset began is answered there, and by nothing else. What the reset
// has excluded is recovered.
func TestRecovery_ResetRun(t *testing.T) {
	t.Parallel()
	const requested = schemas.TypeStepRequested
	waits := step.Result{Waiting: []string{"otp"}}
	state := step.State{ConversationKey: key}
	withWaiting := state
	withWaiting.Waiting = &step.Delivery{Event: schemas.Event{ID: "w0", Type: requested, Subject: "c-42"}}
	script := &bot.Plan{Code: &bot.Code{}}
	ended := func(r *run) *run { // a step that waits, a script in hand, and an event behind it
		r.started("Conversation", state).accepted("w1", requested).completed("w1", waits)
		r.plan = script
		r.accepted("code", requested)
		r.plan = nil
		return r.accepted("e3", schemas.TypeMessageReceived)
	}
	for name, tc := range map[string]struct {
		ended           func(*run) *run
		runs            map[string]func(*run) *run // after it, "open" is the latest
		taken, answered []string
	}{
		"none": {ended, nil, []string{"e3"}, []string{"w1 internal", "code outcome_unknown"}},
		"reset": {ended, map[string]func(*run) *run{"open": func(r *run) *run {
			return r.started("Conversation", state).accepted("w1", requested).completed("w1", waits).accepted("code", requested).
				accepted("e3", schemas.TypeMessageReceived)
		}}, nil, nil},
		"reset without the events behind it": {ended, map[string]func(*run) *run{"open": func(r *run) *run {
			return r.started("Conversation", state).accepted("w1", requested).completed("w1", waits)
		}}, []string{"e3"}, []string{"code outcome_unknown"}},
		"reset, the events behind it applied again": {ended, map[string]func(*run) *run{"open": func(r *run) *run {
			return r.started("Conversation", state).accepted("w1", requested).completed("w1", waits).admitted("code", requested).
				acceptedAgain("code").admitted("e3", schemas.TypeMessageReceived)
		}}, []string{"e3"}, nil}, // it may have been rejected for want of room
		"reset, a script applied again": {ended, map[string]func(*run) *run{"open": func(r *run) *run {
			return r.started("Conversation", state).accepted("w1", requested).completed("w1", waits).admitted("code", requested).
				admitted("e3", schemas.TypeMessageReceived)
		}}, []string{"code", "e3"}, nil},
		"reset, then continued": {ended, map[string]func(*run) *run{
			"open": func(r *run) *run { return r.continued("Conversation", state, "reset") },
			"reset": func(r *run) *run {
				return r.started("Conversation", state).accepted("w1", requested).completed("w1", waits).accepted("code", requested)
			},
		}, []string{"e3"}, nil},
		"waited before the run": {
			func(r *run) *run { return r.started("Conversation", withWaiting) },
			map[string]func(*run) *run{"open": func(r *run) *run { return r.started("Conversation", withWaiting) }}, nil, nil,
		},
		"another run": {ended, map[string]func(*run) *run{"open": func(r *run) *run { return r.started("Conversation", state) }},
			[]string{"e3"}, []string{"w1 internal", "code outcome_unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, c := setup(t)
			n := newNamespace(t, c)
			n.terminated(key, "ended", time.Second)
			n.histories["ended"] = func() *run { return tc.ended(&run{t: t}) }
			for id, history := range tc.runs {
				n.histories[id] = func() *run { return history(&run{t: t}) }
				n.open[step.ConversationID(key)] = "open"
			}
			taken := takers(c, none)
			require.NoError(t, rec.RecoverTwice(t.Context()))
			require.Equal(t, tc.taken, *taken)
			require.Equal(t, tc.answered, answers(t, rec))
		})
	}
}

// TestRecovery_ResetStep: so is a step of its own whose run was reset: a script may run there.
func TestRecovery_ResetStep(t *testing.T) {
	t.Parallel()
	for status, answered := range map[enumspb.WorkflowExecutionStatus][]string{
		enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:    nil,
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:  nil,
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED: {"e1 outcome_unknown"},
	} {
		rec, c := setup(t)
		n := newNamespace(t, c)
		request := step.Request{ConversationKey: key, Delivery: step.Delivery{
			Event: schemas.Event{ID: "e1", Type: schemas.TypeStepRequested}, Plan: &bot.Plan{Code: &bot.Code{}},
		}}
		id := step.ID(key, "e1")
		n.runs = append(n.runs, terminated(id, "ended", time.Minute))
		if status != enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED {
			next := terminated(id, "next", -time.Hour) // no round lists it
			next.Status = status
			n.runs = append(n.runs, next)
		}
		n.histories["ended"] = func() *run { return (&run{t: t}).started("Step", request) }
		require.NoError(t, rec.RecoverTwice(t.Context()))
		require.Equal(t, answered, answers(t, rec), status)
		c.AssertNotCalled(t, "ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything)
	}
}
