package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_FailingRunStopsNoOther: whatever is wrong with one run, the others are recovered: of the same tenant, of
// other ones, and those that ended before it.
func TestRecovery_FailingRunStopsNoOther(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(conversation("acme", "before"), "before", 3*time.Second, "e1")
	n.terminated(conversation("acme", "stuck"), "stuck", 2*time.Second, "e2")
	n.terminated(conversation("acme", "stuck"), "behind", time.Second, "e3")
	n.garbled(conversation("acme", "garbled"), "garbled", 2*time.Second)
	n.terminated(conversation("acme", "after"), "after", time.Second, "e4")
	n.terminated(conversation("other", "c"), "other", 4*time.Second, "e5")
	taken := takers(c, func(o client.UpdateWorkflowOptions) error {
		if strings.HasSuffix(o.WorkflowID, "/stuck") {
			return errors.New("surprise")
		}
		return nil
	})
	err := rec.RecoverTwice(t.Context())
	require.ErrorContains(t, err, "surprise")
	require.ElementsMatch(t, []string{"e1", "e4", "e5"}, *taken, "e3 waits for e2, which ended before it")
}

// TestRecovery_ForeignRunPassedOver: a program of another team has workflows of the same name and of a similar input.
func TestRecovery_ForeignRunPassedOver(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(conversation("acme", "theirs"), "foreign", time.Second, "e1")
	n.runs[0].Execution.WorkflowId = "orders/acme/shop/theirs"
	n.runs = append(n.runs, terminated("their-step", "step", time.Second))
	n.histories["step"] = func() *run {
		return (&run{t: t}).started("Step", step.Request{Delivery: step.Delivery{Event: schemas.Event{ID: "e2"}}})
	}
	taken := takers(c, none)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Empty(t, *taken)
	require.Empty(t, rejected(t, rec, fault.Internal))
}

// TestRecovery_FailingRunGivenUp: what can be recovered by no means becomes a dead letter and is answered, after some minutes,
// with some tries, and the mark waits for it. An outage of Temporal gives up nothing.
func TestRecovery_FailingRunGivenUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fails           error
		garbled         bool
		letters, failed []string
	}{
		"rejected":      {fails: errors.New("surprise"), letters: []string{"e1 internal"}, failed: []string{"e1"}},
		"undecodable":   {garbled: true, failed: []string{"g1"}},
		"Temporal away": {fails: serviceerror.NewUnavailable("away")},
		"no worker":     {fails: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rec, c := setup(t)
				n := newNamespace(t, c)
				key := conversation("acme", "c-1")
				if tc.garbled {
					n.garbled(key, "ended", time.Minute)
				} else {
					n.terminated(key, "ended", time.Minute, "e1")
				}
				written, stored, closed := &letters{}, &mark{}, time.Now().Add(-time.Minute)
				rec.Letters, rec.Mark = written, stored
				tries := 0
				n.histories["ended"] = func(read func() *run) func() *run {
					return func() *run { tries++; return read() }
				}(n.histories["ended"])
				takers(c, func(client.UpdateWorkflowOptions) error { return tc.fails })

				recovering(t, rec, 9*time.Minute)
				require.Empty(t, written.ids)
				require.Empty(t, rejected(t, rec, fault.Internal))
				require.Less(t, tries, 12)
				require.False(t, stored.at.After(closed), "a starter that comes now must know of the run")

				recovering(t, rec, 14*time.Minute)
				require.Equal(t, tc.letters, written.ids)
				require.Equal(t, tc.failed, rejected(t, rec, fault.Internal))
				require.Equal(t, tc.failed != nil, stored.at.After(closed))
			})
		})
	}
}

// TestRecovery_EndedRunsInOrder: of two runs of a conversation that ended early, the older one's events go first, although
// Temporal lists the newer one first.
func TestRecovery_EndedRunsInOrder(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "second", time.Second, "e3", "e4")
	n.terminated(key, "first", time.Minute, "e1", "e2")
	taken := takers(c, none)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Equal(t, []string{"e1", "e2", "e3", "e4"}, *taken)
}

// TestRecovery_RecoveredEventBehindWaitingStep: a step that was requested before the one that waits for entities now must not
// cancel it.
func TestRecovery_RecoveredEventBehindWaitingStep(t *testing.T) {
	t.Parallel()
	now, all := time.Now(), []string{"e1", "message", "e2", "entities", "end", "rejected"}
	for name, tc := range map[string]struct {
		waits           time.Time // when the step that waits was requested; zero = none waits
		taken, answered []string
	}{
		"newer step waits": {
			waits: now.Add(time.Minute), taken: []string{"message"},
			answered: []string{"e1 outcome_unknown", "e2 cancelled", "entities cancelled", "end cancelled", "rejected unknown_step"},
		},
		"older step waits": {waits: now.Add(-time.Minute), taken: all},
		"none waits":       {taken: all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, c := setup(t)
			n := newNamespace(t, c)
			n.terminated(key, "ended", time.Second)
			n.histories["ended"] = func() *run {
				r := (&run{t: t, at: now}).started("Conversation", step.State{ConversationKey: key}).
					accepted("e1", schemas.TypeStepRequested).accepted("message", schemas.TypeMessageReceived).
					accepted("e2", schemas.TypeStepRequested).accepted("entities", schemas.TypeEntitiesCollected).
					accepted("end", schemas.TypeConversationEnded)
				r.refused = fault.New(fault.UnknownStep, "no such step")
				return r.accepted("rejected", schemas.TypeStepRequested)
			}
			n.open[step.ConversationID(key)] = "open"
			state := step.State{ConversationKey: key}
			if !tc.waits.IsZero() {
				state.Waiting = &step.Delivery{Event: schemas.Event{ID: "w1", Type: schemas.TypeStepRequested, Time: tc.waits}}
			}
			n.histories["open"] = func() *run { return (&run{t: t}).started("Conversation", state) }
			taken := takers(c, none)
			require.NoError(t, rec.RecoverTwice(t.Context()))
			require.Equal(t, tc.taken, *taken)
			require.Equal(t, tc.answered, answers(t, rec))
		})
	}
}

// TestRecovery_RecoveredAnswersInOrder: an event that is rejected is answered by the run that has the events before it.
func TestRecovery_RecoveredAnswersInOrder(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second)
	n.histories["ended"] = func() *run {
		r := (&run{t: t}).started("Conversation", step.State{ConversationKey: key})
		r.refused = fault.New(fault.UnknownStep, "no such step")
		r.accepted("e1", schemas.TypeStepRequested)
		r.refused = nil
		r.accepted("e2", schemas.TypeStepRequested)
		r.refused = fault.New(fault.UnknownStep, "no such step")
		return r.accepted("e3", schemas.TypeStepRequested)
	}
	taken := takers(c, none)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Equal(t, []string{"e2", "e3"}, *taken)
	require.Equal(t, []string{"e1 unknown_step"}, answers(t, rec))
}

// TestRecovery_DeletedRunIsNotRecovered: a run that starter erase has deleted meanwhile does not count as a failure.
func TestRecovery_DeletedRunIsNotRecovered(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second)
	n.histories["ended"] = func() *run { return &run{t: t, fail: serviceerror.NewNotFound("deleted")} }
	require.NoError(t, rec.RecoverTwice(t.Context()))
}

// TestRecovery_RejectedEventOfEndedRun: an event that no run may take becomes a dead letter at once, and those behind it go on.
func TestRecovery_RejectedEventOfEndedRun(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second, "e1", "e2")
	written := &letters{}
	rec.Letters = written
	var taken []string
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if o.UpdateOptions.UpdateID == "e1" {
			return intaketest.UpdateHandle(temporal.NewApplicationError("too many entities", step.RejectedTooLarge)), nil
		}
		taken = append(taken, o.UpdateOptions.UpdateID)
		return intaketest.UpdateHandle(nil), nil
	})
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Equal(t, []string{"e1 too_large"}, written.ids)
	require.Equal(t, []string{"e1 too_large"}, answers(t, rec))
	require.Equal(t, []string{"e2"}, taken)
}

// TestRecovery_RejectedEventTooLargeForALetter: an event of which no dead letter can be made is answered, and those behind it go on.
func TestRecovery_RejectedEventTooLargeForALetter(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second)
	event := schemas.Event{ID: "e1", Type: schemas.TypeStepRequested, Subject: "c-42", Data: schemas.EventData{Reason: "a"}}
	short, err := event.Encode()
	require.NoError(t, err)
	event.Data.Reason += strings.Repeat("a", schemas.MessageMax+1-len(short))
	n.histories["ended"] = func() *run {
		r := (&run{t: t, data: event.Data}).started("Conversation", step.State{ConversationKey: key}).accepted(event.ID, event.Type)
		r.data = schemas.EventData{}
		return r.accepted("e2", schemas.TypeStepRequested)
	}
	written := &letters{}
	rec.Letters = written
	taken := takers(c, func(o client.UpdateWorkflowOptions) error {
		if o.UpdateID == "e1" {
			return dispatch.Rejectf(fault.TooLarge, "too large")
		}
		return nil
	})
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Empty(t, written.ids)
	require.Equal(t, []string{"e1 too_large"}, answers(t, rec))
	require.Equal(t, []string{"e2"}, *taken)
}

// TestRecovery_StuckTenantDelaysNoOther: the runs of one tenant take all the time of their tries; those of another one are
// recovered meanwhile, and so are the tenant's own others, in later rounds.
func TestRecovery_StuckTenantDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec, c := setup(t)
		n := newNamespace(t, c)
		for k := range 40 {
			id := fmt.Sprintf("stuck-%d", k)
			n.terminated(conversation("acme", id), id, time.Minute, id)
		}
		n.terminated(conversation("acme", "fine"), "fine", time.Second, "e1")
		n.terminated(conversation("other", "fine"), "other", time.Second, "e2")
		n.terminated(conversation("other", "later"), "later", -2*time.Minute, "e3")
		begun, taken := time.Now(), map[string]time.Duration{}
		var mu sync.Mutex
		c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil)
		c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(
			func(ctx context.Context, o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				if strings.Contains(o.UpdateOptions.WorkflowID, "stuck") {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				mu.Lock()
				defer mu.Unlock()
				taken[o.UpdateOptions.UpdateID] = time.Since(begun)
				return intaketest.UpdateHandle(nil), nil
			})
		c.On("WorkflowService").Return(nil).Maybe()
		recovering(t, rec, time.Hour)
		require.Less(t, taken["e2"], time.Second)
		require.Less(t, taken["e3"], 3*time.Minute)
		require.Contains(t, taken, "e1")
		require.Contains(t, taken, "e3")
		require.Less(t, taken["e1"], 15*time.Minute)
	})
}

// TestRecovery_UndecodableRunAnswersItsConversation: the true id of a conversation is a search attribute, where its workflow id has
// a token, and search attributes are not encrypted.
func TestRecovery_UndecodableRunAnswersItsConversation(t *testing.T) {
	t.Parallel()
	for name, shown := range map[string]string{"shown": "c 42", "hidden": schemas.ConversationToken("c 42")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rec, c := setup(t)
				n := newNamespace(t, c)
				n.garbled(conversation("acme", "c 42"), "ended", time.Minute)
				value, err := step.DataConverter().ToPayload(shown)
				require.NoError(t, err)
				n.runs[0].SearchAttributes = &commonpb.SearchAttributes{
					IndexedFields: map[string]*commonpb.Payload{step.AttributeConversation: value},
				}
				recovering(t, rec, 20*time.Minute)
				sent, _ := rec.Answers.Replies.(*intaketest.Replies)
				if name == "hidden" {
					require.Empty(t, sent.Published)
					return
				}
				require.Len(t, sent.Published, 1)
				require.Equal(t, "c 42", sent.Published[0].Subject)
			})
		})
	}
}
