package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func shopReply(t *testing.T, bot, replyType string) schemas.Reply {
	t.Helper()
	key := schemas.BotID{Tenant: "default", Bot: bot}.WithConversation("c-42")
	r, err := schemas.NewReply(key, "e1", replyType, time.Now(), schemas.StepReplied{EventID: "e1", Outcome: schemas.OutcomeSuccess})
	require.NoError(t, err)
	return r
}

// ended is the handle of an Update that has ended with a result.
func ended(result step.Result) *mocks.WorkflowUpdateHandle {
	h := &mocks.WorkflowUpdateHandle{}
	h.On("RunID").Return("run-1")
	h.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		into, _ := args[1].(*step.Result)
		*into = result
	}).Return(nil)
	return h
}

// waited is the first delivery of an event that was stored a while ago, as one of a restored stream.
func waited(bot string) *eventreader.Message {
	m := intaketest.MessageOf(time.Now().Add(-time.Hour), bot, schemas.TypeStepRequested, `{"step":"ORDER"}`)
	m.Received = time.Now().Add(-time.Hour)
	return m
}

// TestIntake_LostReplyPublishedAgain: the conversation has answered the event, and the reply is not stored any more.
func TestIntake_LostReplyPublishedAgain(t *testing.T) {
	t.Parallel()
	reply := shopReply(t, "shop", schemas.TypeStepReplied)
	waiting := shopReply(t, "shop", schemas.TypeStepWaiting)
	answered := ended(step.Result{Outcome: schemas.OutcomeSuccess, ReplyID: reply.ID})
	inHand := intaketest.UpdateHandle(context.Canceled)
	late := func() *eventreader.Message { return waited("shop") }
	repeated := func() *eventreader.Message { return intaketest.Again("e1") }
	fresh := func() *eventreader.Message { return intaketest.Requested("shop") }
	for name, c := range map[string]struct {
		event  func() *eventreader.Message // made when it is handled: it must not be old by then
		handle client.WorkflowUpdateHandle
		stored []schemas.Reply
		fail   error
		want   int // replies that are published
		asks   bool
	}{
		"in a restored stream": {event: late, handle: answered, want: 1, asks: true},
		"published again":      {event: repeated, handle: answered, want: 1, asks: true},
		"redelivered":          {event: intaketest.Redelivered, handle: answered, want: 1, asks: true},
		"known by its id, with a new time": {
			event: fresh, handle: intaketest.UpdateHandle(temporal.NewApplicationError("no", step.RejectedDuplicate)), want: 1, asks: true,
		},
		"known by its id":       {event: repeated, handle: intaketest.UpdateHandle(temporal.NewApplicationError("no", step.RejectedDuplicate)), want: 1, asks: true},
		"reply is stored":       {event: late, handle: answered, stored: []schemas.Reply{reply}},
		"new event":             {event: fresh, handle: answered},
		"event in hand":         {event: intaketest.Redelivered, handle: inHand},
		"event without a reply": {event: intaketest.Redelivered, handle: ended(step.Result{})},
		"step that still waits": {
			event: late, handle: ended(step.Result{ReplyID: waiting.ID, Waiting: []string{"otp"}}), stored: []schemas.Reply{waiting},
		},
		"step that waited": {
			event: repeated, handle: ended(step.Result{ReplyID: waiting.ID, Waiting: []string{"otp"}}), stored: []schemas.Reply{waiting},
			want: 1, asks: true,
		},
		"older than replies are kept": {event: ancient, handle: answered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c2 := intaketest.Setup(t)
			c2.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now().Add(-1000*time.Hour)), nil).Maybe()
			intaketest.Accepting(c2, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) { return c.handle, nil })
			sent, found := &intaketest.Replies{Published: c.stored}, &intaketest.Recalled{Replies: []schemas.Reply{reply}}
			if name == "step that waited" {
				found.Replies = []schemas.Reply{waiting, reply} // the first one is stored
			}
			in.Answers.Replies, in.Recall = sent, found
			intaketest.RequireOutcome(t, in.Handle(t.Context(), c.event()), "", false)
			require.Len(t, sent.Published, len(c.stored)+c.want)
			require.Equal(t, c.asks, len(found.Asked) > 0)
			if c.want > 0 {
				require.Equal(t, reply, sent.Published[len(c.stored)])
			}
		})
	}
}

func ancient() *eventreader.Message {
	m := intaketest.Redelivered()
	m.Received = time.Now().Add(-73 * time.Hour)
	return m
}

// TestIntake_LostReplyOfAClosedRun: the run that has answered the event is the completed one.
func TestIntake_LostReplyOfAClosedRun(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	intaketest.Completed(c, "latest")
	sent, found := &intaketest.Replies{}, &intaketest.Recalled{Replies: []schemas.Reply{shopReply(t, "shop", schemas.TypeStepReplied)}}
	in.Answers.Replies, in.Recall = sent, found
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Again("e1")), "", false)
	require.Equal(t, []string{"latest"}, found.Asked)
	require.Len(t, sent.Published, 1)
}

// TestIntake_LostReplyOfAStep: a step without an order has a run of its own.
func TestIntake_LostReplyOfAStep(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil,
		serviceerror.NewWorkflowExecutionAlreadyStarted("known", "", "run-7"))
	sent, found := &intaketest.Replies{}, &intaketest.Recalled{Replies: []schemas.Reply{shopReply(t, "free", schemas.TypeStepReplied)}}
	in.Answers.Replies, in.Recall = sent, found
	intaketest.RequireOutcome(t, in.Handle(t.Context(), waited("free")), "", false)
	require.Equal(t, []string{"run-7"}, found.Asked)
	require.Len(t, sent.Published, 1)
}

// TestIntake_LostReplyIsNotFound: a reply that cannot be made again is replaced by one that reports it; while it is not
// known whether it can, the event is tried again.
func TestIntake_LostReplyIsNotFound(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		return ended(step.Result{Outcome: schemas.OutcomeSuccess, ReplyID: shopReply(t, "shop", schemas.TypeStepReplied).ID}), nil
	})
	sent, found := &intaketest.Replies{}, &intaketest.Recalled{Err: errors.New("away")}
	in.Answers.Replies, in.Recall = sent, found
	intaketest.RequireOutcome(t, in.Handle(t.Context(), waited("shop")), "", true)
	require.Empty(t, sent.Published)

	in, c = intaketest.Setup(t)
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		return ended(step.Result{Outcome: schemas.OutcomeSuccess, ReplyID: shopReply(t, "shop", schemas.TypeStepReplied).ID}), nil
	})
	in.Answers.Replies, in.Recall = sent, &intaketest.Recalled{Lost: true}
	intaketest.RequireOutcome(t, in.Handle(t.Context(), waited("shop")), "", false)
	require.Len(t, sent.Published, 1)
	var data schemas.StepReplied
	require.NoError(t, json.Unmarshal(sent.Published[0].Data, &data))
	require.Equal(t, schemas.OutcomeRejected, data.Outcome)
	require.Equal(t, "outcome_unknown", data.Error.Kind)
	require.Equal(t, shopReply(t, "shop", schemas.TypeStepReplied).ID, sent.Published[0].ID)
}

// TestIntake_ReplyTooLargeIsNotLost: a reply that no message can hold was never stored, and holds up no later event.
func TestIntake_ReplyTooLargeIsNotLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  error
		again bool
	}{
		"too large": {fault.New(fault.TooLarge, "message of 1048700 bytes"), false},
		"NATS away": {errors.New("away"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, mocked := intaketest.Setup(t)
			intaketest.Accepting(mocked, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				return ended(step.Result{Closed: "left"}), nil
			})
			found := &intaketest.Recalled{Replies: []schemas.Reply{shopReply(t, "shop", schemas.TypeConversationClosed)}}
			in.Answers.Replies, in.Recall = &intaketest.Replies{Fail: c.fail}, found
			m := intaketest.MessageOf(time.Now().Add(-time.Hour), "shop", schemas.TypeConversationEnded, `{"reason":"left"}`)
			m.Received = time.Now().Add(-time.Hour)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", c.again)
			require.Equal(t, []string{"run-1"}, found.Asked)
		})
	}
}
