package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestIntake_EventBecomesAnUpdate(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	m := intaketest.Requested("shop")
	traceParent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	m.Header.Set("Traceparent", traceParent) // as libraries of HTTP write it
	m.Header.Set("tracestate", strings.Repeat("x", 513))
	m.Expires = time.Now().Add(time.Minute)
	var start client.StartWorkflowOptions
	var state step.State
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		start, _ = args[0].(client.StartWorkflowOptions)
		state, _ = args[2].(step.State)
	}).Return(nil)
	var sent client.UpdateWithStartWorkflowOptions
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		sent, _ = args[1].(client.UpdateWithStartWorkflowOptions)
	}).Return(intaketest.UpdateHandle(nil), nil)

	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, "conversation/default/shop/c-42", start.ID)
	require.Equal(t, "default", start.Priority.FairnessKey, "the server shares its workers between tenants")
	require.Equal(t, step.State{
		ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), IdleTimeout: bot.Duration(3 * time.Hour),
		EventsPerRun: step.EventsPerRun, Format: step.FormatLatest,
	}, state)
	require.Equal(t, len(m.Data), intaketest.Delivered(sent.UpdateOptions).Size)
	require.Equal(t, "step.requested", sent.UpdateOptions.UpdateName)
	require.Equal(t, "e1", sent.UpdateOptions.UpdateID)
	require.Equal(t, client.WorkflowUpdateStageAccepted, sent.UpdateOptions.WaitForStage)
	d, ok := sent.UpdateOptions.Args[0].(step.Delivery)
	require.True(t, ok)
	require.Equal(t, "https://shop.example/orders", d.Plan.Webhook.URL)
	require.Equal(t, traceParent, d.Event.TraceParent)
	require.Empty(t, d.Event.TraceState, "it is too long to be passed on")
	require.True(t, m.Expires.Equal(*d.UsefulUntil))
}

// An event's id may be any text: what is made of it for Temporal fits there.
func TestIntake_EventIDIsEncoded(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"long": strings.Repeat("日", 250), "spaces": "a b", "dot": "a.b", "accents": "größe", "astral": "😀",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			var updateID, workflowID string
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				updateID = o.UpdateOptions.UpdateID
				return intaketest.UpdateHandle(nil), nil
			})
			c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
				options, _ := args[1].(client.StartWorkflowOptions)
				workflowID = options.ID
			}).Return(nil, nil)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)), "", false)
			require.Regexp(t, `^[!-~]{1,256}$`, updateID)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("free", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)), "", false)
			require.Regexp(t, `^step/default/free/c-42/[!-~]{1,256}$`, workflowID)
		})
	}
}

func TestIntake_UnknownStepTravelsToItsReply(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	var d step.Delivery
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		d = intaketest.Delivered(o.UpdateOptions)
		return intaketest.UpdateHandle(nil), nil
	})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"UNKNOWN"}`)), "", false)
	require.Nil(t, d.Plan)
	require.Equal(t, fault.UnknownStep, d.Refused.Kind)
}

// TestHandle_Outcomes holds what becomes of an event, by Temporal's answer.
func TestHandle_Outcomes(t *testing.T) {
	t.Parallel()
	refused := func(kind string) error { return temporal.NewApplicationError("no", kind) }
	cases := map[string]struct {
		rpc     error // of the call
		outcome error // of the Update
		letter  fault.Kind
		again   bool
	}{
		"accepted":            {},
		"still running":       {outcome: context.Canceled},
		"known already":       {outcome: refused(step.RejectedDuplicate)},
		"too many unanswered": {outcome: refused(step.RejectedLimit), again: true},
		"entities too large":  {outcome: refused(step.RejectedTooLarge), letter: fault.TooLarge},
		"server away":         {rpc: serviceerror.NewUnavailable("away"), again: true},
		"too many in flight":  {rpc: serviceerror.NewResourceExhausted(0, "busy"), again: true},
		"time is over":        {rpc: context.DeadlineExceeded, again: true},
		"called invalid":      {rpc: serviceerror.NewInvalidArgument("search attribute"), again: true},
		"an unknown surprise": {rpc: errors.New("surprise"), again: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				return intaketest.UpdateHandle(tc.outcome), tc.rpc
			})
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), tc.letter, tc.again)
		})
	}
}

func TestIntake_UnorderedStep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		again bool
	}{
		"started":         {},
		"started already": {err: serviceerror.NewWorkflowExecutionAlreadyStarted("again", "", "")},
		"server away":     {err: serviceerror.NewUnavailable("away"), again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			var start client.StartWorkflowOptions
			c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
				start, _ = args[1].(client.StartWorkflowOptions)
			}).Return(nil, tc.err)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("free")), "", tc.again)
			require.Equal(t, "step/default/free/c-42/e1", start.ID)
		})
	}
}
