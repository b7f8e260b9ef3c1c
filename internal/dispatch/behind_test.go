package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// recovers is a recovery that fails with an error, or has nothing left to do.
type recovers struct {
	fails error
	asked int
}

func (r *recovers) Latest(context.Context, string) error {
	r.asked++
	return r.fails
}

// TestDispatcher_EventBehindRecovery: an event that finds its run ended early waits for the recovery in each of its tries, and
// so does the event behind it when it becomes a dead letter. What fails for the events that are recovered is not its own
// fault. After a time that is longer than a recovery takes it is offered, so that its tries end.
func TestDispatcher_EventBehindRecovery(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{
		"no place":         dispatch.ErrNoPlace,
		"surprise":         errors.New("surprise"),
		"invalid argument": serviceerror.NewInvalidArgument("no such search attribute"),
		"Temporal away":    serviceerror.NewUnavailable("away"),
		"about to end":     dispatch.ErrBusy,
		"another rejected": temporal.NewApplicationError("too many entities", step.RejectedTooLarge),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in, c := intaketest.Setup(t)
				rec := &recovers{fails: fails}
				in.Dispatcher.Recovery = rec
				intaketest.NoneOpen(c)
				intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
				taken := intaketest.Taking(c)
				intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
				late := intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
				next := intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e3")
				late.Sequence, next.Sequence = 2, 3
				for range 14 {
					intaketest.RequireOutcome(t, in.Handle(t.Context(), late), "", true)
					<-time.After(time.Minute)
				}
				require.Equal(t, 14, rec.asked)
				intaketest.RequireOutcome(t, in.Handle(t.Context(), next), "", true)
				require.Equal(t, []string{"e1"}, *taken)
				<-time.After(time.Minute)
				intaketest.RequireOutcome(t, in.Handle(t.Context(), late), "", false)
				require.Equal(t, []string{"e1", "e2"}, *taken)
			})
		})
	}
}

// TestDispatcher_ClosedRunIsNotRecovered: another try of an event asks for no recovery where the latest run has ended by
// itself, and the recovery's own tries never do.
func TestDispatcher_ClosedRunIsNotRecovered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status   enumspb.WorkflowExecutionStatus
		recovery bool
		asked    int
	}{
		"closed":            {enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, false, 0},
		"open":              {enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, false, 0},
		"ended early":       {enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, false, 1},
		"the recovery asks": {enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			rec := &recovers{}
			in.Dispatcher.Recovery = rec
			intaketest.Running(c, tc.status)
			if tc.status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				intaketest.Completed(c, "latest") // it had taken e1
			}
			taken := intaketest.Taking(c)
			of := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")
			d := step.Delivery{Event: schemas.Event{ID: "e2", Type: schemas.TypeStepRequested, Subject: "c-42"}}
			_, err := in.Dispatcher.Offer(t.Context(), step.NewState(of, 0), d, dispatch.Arrival{
				Tries: dispatch.Tries{Count: 1, First: time.Now()}, Recovery: tc.recovery,
			})
			require.NoError(t, err)
			require.Equal(t, tc.asked, rec.asked)
			require.Equal(t, []string{"e2"}, *taken)
		})
	}
}
