package dispatch_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
)

// TestDispatcher_EventsGoToTheKnownRun: the second event names the run that took the first; the third finds that it has ended.
func TestDispatcher_EventsGoToTheKnownRun(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	var asked []string
	ended := false
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(
		func(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
			asked = append(asked, o.RunID)
			if ended {
				return nil, serviceerror.NewNotFound("workflow execution already completed")
			}
			return intaketest.UpdateHandle(nil), nil
		})
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		asked = append(asked, "started: "+o.UpdateOptions.RunID)
		return intaketest.UpdateHandle(nil), nil
	})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	ended = true
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	require.Equal(t, []string{"started: ", "run-1", "run-1", "started: "}, asked)
}

// TestDispatcher_SecondTryUsesNothingCached: whatever the known run has answered but an acceptance, the next try asks whichever
// runs. The first version asked the aborted Update of the same run for ever.
func TestDispatcher_SecondTryUsesNothingCached(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]error{
		"aborted":   serviceerror.NewAborted("workflow update was aborted"),
		"timeout":   context.DeadlineExceeded,
		"away":      serviceerror.NewUnavailable("away"),
		"surprise":  errors.New("surprise"),
		"exhausted": serviceerror.NewResourceExhausted(0, "too many"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			var asked []string
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				asked = append(asked, "any")
				return intaketest.UpdateHandle(nil), nil
			})
			c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(
				func(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
					asked = append(asked, o.RunID)
					return nil, failed
				})
			intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
			first, second := intaketest.Requested("shop"), intaketest.Requested("shop")
			first.Sequence, second.Sequence = 1, 2
			intaketest.RequireOutcome(t, in.Handle(t.Context(), first), "", false)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), second), "", true)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), second), "", false)
			require.Equal(t, []string{"any", "run-1", "any"}, asked)
		})
	}
}

// TestDispatcher_BusyRunIsAskedAgain: a run that is about to continue as new takes the event a moment later.
func TestDispatcher_BusyRunIsAskedAgain(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	asked := 0
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if asked++; asked < 3 {
			return intaketest.UpdateHandle(temporal.NewApplicationError("wait", step.RejectedBusy)), nil
		}
		return intaketest.UpdateHandle(nil), nil
	})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	require.Equal(t, 3, asked)
}

func TestDispatcher_ClosingRunIsTriedAgain(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	gone := serviceerror.NewNotFound("workflow execution already completed")
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) { return nil, gone })
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", true)
}

// TestDispatcher_ClosedRunIsReplaced: an event that was accepted by a run that closed is handed to a new one, once.
func TestDispatcher_ClosedRunIsReplaced(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(
		intaketest.DescribedRun(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED), nil)
	lost := temporal.NewApplicationError("gone", "AcceptedUpdateCompletedWorkflow")
	var sent []string
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if sent = append(sent, o.UpdateOptions.UpdateID); len(sent) == 1 {
			return intaketest.UpdateHandle(lost), nil
		}
		return intaketest.UpdateHandle(nil), nil
	})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	require.Equal(t, []string{"e1", "e1.again"}, sent)
}

// TestDispatcher_FullRunHoldsNoSlot: a run with as many unanswered events as it takes is asked once in a try, however long it may
// have them.
func TestDispatcher_FullRunHoldsNoSlot(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	asked := 0
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if asked++; asked == 1 {
			return intaketest.UpdateHandle(temporal.NewApplicationError("wait", step.RejectedLimit)), nil
		}
		return intaketest.UpdateHandle(nil), nil
	})
	limited := in.Handle(t.Context(), intaketest.Requested("shop"))
	intaketest.RequireOutcome(t, limited, "", true)
	require.ErrorContains(t, limited.Err(), "the conversation's run has as many unanswered events as it takes")
	require.Equal(t, 1, asked)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
}

// TestDispatcher_ScriptOfEndedRunNotTwice: the script of the run that is gone may have begun, and no recovery finds the run.
func TestDispatcher_ScriptOfEndedRunNotTwice(t *testing.T) {
	t.Parallel()
	for name, described := range map[string]func() (*workflowservice.DescribeWorkflowExecutionResponse, error){
		"completed": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return intaketest.DescribedRun(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED), nil
		},
		"cancelled": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return intaketest.DescribedRun(enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED), nil
		},
		"continued": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return intaketest.DescribedRun(enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW), nil
		},
		"deleted": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return nil, serviceerror.NewNotFound("no such run")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			c.On("DescribeWorkflowExecution", mock.Anything, "conversation/default/lab/c-42", "run-1").Return(described())
			taken := intaketest.LostAtFirst(c, func() {})
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("lab")), "", false)
			sent := *taken
			require.Len(t, sent, 2)
			require.NotNil(t, sent[0].Plan.Code)
			require.Nil(t, sent[0].Refused)
			require.Equal(t, fault.OutcomeUnknown, sent[1].Refused.Kind)
		})
	}
}

// TestDispatcher_EndedRunCannotBeLookedAt: whether a recovery has an event is not guessed.
func TestDispatcher_EndedRunCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(nil, serviceerror.NewUnavailable("away"))
	sent := intaketest.LostAtFirst(c, func() {})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("lab")), "", true)
	require.Len(t, *sent, 1)
}

// TestDispatcher_SecondTryAsksTheLatestRun: a run takes an event in a try that is cut off, and is closed before the next try.
func TestDispatcher_SecondTryAsksTheLatestRun(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	intaketest.Completed(c, "latest")
	offered := 0
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		offered++
		return nil, context.DeadlineExceeded
	})
	m := intaketest.Requested("shop")
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", true)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, 1, offered)
}
