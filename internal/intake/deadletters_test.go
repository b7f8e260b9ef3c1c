package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang/mock/gomock"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	workflowservicemock "go.temporal.io/api/workflowservicemock/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestIntake_PoisonEvent holds which events are given up, and that no outage gives one up.
func TestIntake_PoisonEvent(t *testing.T) {
	t.Parallel()
	const failed, timedOut = enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
	for name, tc := range map[string]struct {
		err    error
		since  time.Duration
		latest enumspb.EventType
		letter fault.Kind
	}{
		"invalid, new":              {serviceerror.NewInvalidArgument("no"), time.Minute, timedOut, ""},
		"invalid":                   {serviceerror.NewInvalidArgument("no"), 3 * time.Minute, timedOut, fault.Config},
		"task fails":                {context.DeadlineExceeded, 3 * time.Minute, failed, fault.Internal},
		"task fails, new":           {context.DeadlineExceeded, time.Minute, failed, ""},
		"no worker":                 {context.DeadlineExceeded, time.Hour, timedOut, ""},
		"server away":               {serviceerror.NewUnavailable("away"), time.Hour, failed, ""},
		"credentials have expired":  {serviceerror.NewPermissionDenied("no", ""), time.Hour, failed, ""},
		"server is at its limit":    {serviceerror.NewResourceExhausted(0, "busy"), time.Hour, failed, ""},
		"surprise and a sane event": {errors.New("surprise"), time.Hour, timedOut, ""},
	} {
		for data, m := range map[string]*eventreader.Message{
			"":           intaketest.Requested("shop"),
			", bad data": intaketest.Message("shop", schemas.TypeStepRequested, `{"step":7}`),
		} {
			t.Run(name+data, func(t *testing.T) {
				t.Parallel()
				in, c := intaketest.Setup(t)
				failingTask(t, c, tc.latest)
				intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) { return nil, tc.err })
				m.Received = time.Now().Add(-24 * time.Hour) // a backlog does not make an event a poison event
				in.SetTried(m, time.Now().Add(-tc.since))
				intaketest.RequireOutcome(t, in.Handle(t.Context(), m), tc.letter, tc.letter == "")
				published := in.Answers.Replies.(*intaketest.Replies).Published
				require.Equal(t, tc.letter != "", len(published) == 1, "the user is not left without a reply")
			})
		}
	}
}

// failingTask makes the run of each conversation one whose workflow task is tried again: the latest event of its history is
// of a type, and the one before it is a failure.
func failingTask(t *testing.T, c *mocks.Client, latest enumspb.EventType) {
	t.Helper()
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{
			WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING},
			PendingWorkflowTask:   &workflowpb.PendingWorkflowTaskInfo{Attempt: 7},
		}, nil)
	service := workflowservicemock.NewMockWorkflowServiceClient(gomock.NewController(t))
	service.EXPECT().GetWorkflowExecutionHistoryReverse(gomock.Any(), gomock.Any()).Return(
		&workflowservice.GetWorkflowExecutionHistoryReverseResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{
			{EventType: latest}, {EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED},
		}}}, nil).AnyTimes()
	c.On("WorkflowService").Return(service).Maybe()
}

// TestIntake_SequenceComesAgain: the event stream was created again, or restored from a backup. What was tried with an event
// of before is not taken for that of the event which has its sequence now.
func TestIntake_SequenceComesAgain(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	before, m := intaketest.Requested("shop"), intaketest.Requested("shop")
	before.Received = m.Received.Add(-time.Hour)
	in.SetTried(before, time.Now().Add(-time.Hour))
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		return nil, serviceerror.NewInvalidArgument("no")
	})
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", true)
	c.AssertNotCalled(t, "DescribeWorkflowExecution", mock.Anything, mock.Anything, mock.Anything)
}

func TestIntake_DeadLetters(t *testing.T) {
	t.Parallel()
	elsewhere := intaketest.Requested("shop")
	elsewhere.Conversation = "c-43"
	for name, tc := range map[string]struct {
		message *eventreader.Message
		letter  fault.Kind
	}{
		"no event":               {&eventreader.Message{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Data: []byte("{")}, fault.BadEvent},
		"other subject":          {elsewhere, fault.BadEvent},
		"too many headers":       {crowded(intaketest.Requested("shop")), fault.BadEvent},
		"too long headers":       {longHeaders(intaketest.Requested("shop")), fault.BadEvent},
		"unknown bot":            {intaketest.Requested("unknown"), fault.UnknownBot},
		"unordered, entities":    {intaketest.Message("free", schemas.TypeEntitiesCollected, `{"entities":{}}`), fault.BadEvent},
		"unordered, end":         {intaketest.Message("free", schemas.TypeConversationEnded, `{}`), fault.BadEvent},
		"unknown type of events": {intaketest.Message("shop", "hookturn.step.invented", `{}`), fault.BadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				return intaketest.UpdateHandle(nil), nil
			})
			intaketest.RequireOutcome(t, in.Handle(t.Context(), tc.message), tc.letter, false)
		})
	}
}

// crowded returns an event that has one header more than it may.
func crowded(m *eventreader.Message) *eventreader.Message {
	m.Headers, m.Header = eventreader.HeadersMax+1, nil
	return m
}

// longHeaders returns an event whose headers have one byte more than they may.
func longHeaders(m *eventreader.Message) *eventreader.Message {
	m.HeaderBytes, m.Header = eventreader.HeaderBytesMax+1, nil
	return m
}

// TestIntake_DeadLetterIsAnswered: an event whose envelope can be read is answered though it becomes a dead letter, by its
// conversation where there is one.
func TestIntake_DeadLetterIsAnswered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		message        *eventreader.Message
		letter         fault.Kind
		conversation   bool
		answered, fail bool
	}{
		"bad data":            {message: intaketest.Message("shop", schemas.TypeStepRequested, `{"step":7}`), letter: fault.BadEvent, conversation: true},
		"too many headers":    {message: crowded(intaketest.Requested("shop")), letter: fault.BadEvent, conversation: true},
		"bad step name":       {message: intaketest.Message("shop", schemas.TypeStepRequested, `{"step":""}`), letter: fault.BadEvent, conversation: true},
		"unknown bot":         {message: intaketest.Requested("unknown"), letter: fault.UnknownBot, answered: true},
		"NATS away":           {message: intaketest.Requested("unknown"), fail: true},
		"replayed":            {message: replay(intaketest.Requested("unknown")), letter: fault.UnknownBot},
		"replayed, bad data":  {message: replay(intaketest.Message("shop", schemas.TypeStepRequested, `{"step":7}`)), letter: fault.BadEvent},
		"repeated":            {message: repeat(intaketest.Requested("unknown")), letter: fault.UnknownBot},
		"no step":             {message: intaketest.Message("unknown", schemas.TypeConversationEnded, `{}`), letter: fault.UnknownBot},
		"no conversation":     {message: &eventreader.Message{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Data: []byte(`{"id":"e1"}`)}, letter: fault.BadEvent},
		"unordered, entities": {message: intaketest.Message("free", schemas.TypeEntitiesCollected, `{"entities":{}}`), letter: fault.BadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			var taken []step.Delivery
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				taken = append(taken, intaketest.Delivered(o.UpdateOptions))
				return intaketest.UpdateHandle(nil), nil
			})
			sent := &intaketest.Replies{}
			if tc.fail {
				sent.Fail = errors.New("away")
			}
			in.Answers.Replies = sent
			intaketest.RequireOutcome(t, in.Handle(t.Context(), tc.message), tc.letter, tc.fail)
			if tc.conversation {
				require.Len(t, taken, 1)
				require.Equal(t, tc.letter, taken[0].Refused.Kind)
			} else {
				require.Empty(t, taken)
			}
			if !tc.answered {
				require.Empty(t, sent.Published)
				return
			}
			require.Len(t, sent.Published, 1)
			var data schemas.StepReplied
			require.NoError(t, json.Unmarshal(sent.Published[0].Data, &data))
			require.Equal(t, schemas.OutcomeRejected, data.Outcome)
			require.Equal(t, string(tc.letter), data.Error.Kind)
			require.Equal(t, "e1", data.EventID)
		})
	}
}

// TestIntake_DeadLetterWithLongTrace: the trace of an event that nothing passes on is not in the answer to it.
func TestIntake_DeadLetterWithLongTrace(t *testing.T) {
	t.Parallel()
	in, _ := intaketest.Setup(t)
	sent := &intaketest.Replies{}
	in.Answers.Replies = sent
	m := intaketest.Requested("unknown")
	m.Header.Set("traceparent", "00-1-2-01")
	m.Header.Set("tracestate", strings.Repeat("x", 513))
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), fault.UnknownBot, false)
	require.Len(t, sent.Published, 1)
	require.Empty(t, sent.Published[0].TraceParent)
	require.Empty(t, sent.Published[0].TraceState)
}

// replay is a message that was a dead letter before.
func replay(m *eventreader.Message) *eventreader.Message {
	m.Header.Set(schemas.HeaderReplayed, string(fault.UnknownBot))
	return m
}

// repeat is a message by which an operator repeats a step.
func repeat(m *eventreader.Message) *eventreader.Message {
	m.Data = bytes.Replace(m.Data, []byte("{"), []byte(`{"`+schemas.AttributeRepeatOf+`":"e0",`), 1)
	return m
}

// TestIntake_ReplayedEventIsAnsweredLate: the engine has the reply to a dead letter, so the outcome of its replay must be
// another one. Events without such a reply keep theirs.
func TestIntake_ReplayedEventIsAnsweredLate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		message *eventreader.Message
		repeats string
	}{
		"new":                 {intaketest.Requested("shop"), ""},
		"replayed":            {replay(intaketest.Requested("shop")), "e1"},
		"repeated, replayed":  {replay(repeat(intaketest.Requested("shop"))), "e0"},
		"replayed, no answer": {replay(intaketest.Message("shop", schemas.TypeEntitiesCollected, `{"entities":{}}`)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			var taken []step.Delivery
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				taken = append(taken, intaketest.Delivered(o.UpdateOptions))
				return intaketest.UpdateHandle(nil), nil
			})
			intaketest.RequireOutcome(t, in.Handle(t.Context(), tc.message), "", false)
			require.Len(t, taken, 1)
			require.Equal(t, "e1", taken[0].Event.ID)
			require.Equal(t, tc.repeats, taken[0].Event.Repeats())
		})
	}
}

// TestIntake_EventOfTerminatedRunIsNotGivenUp: an event that belongs to a recovery is not to blame for what the next run does.
func TestIntake_EventOfTerminatedRunIsNotGivenUp(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	failing := intaketest.Begun(time.Now())
	failing.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{Attempt: 7}
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(failing, nil)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(
		intaketest.DescribedRun(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED), nil)
	service := workflowservicemock.NewMockWorkflowServiceClient(gomock.NewController(t))
	service.EXPECT().GetWorkflowExecutionHistoryReverse(gomock.Any(), gomock.Any()).Return(
		&workflowservice.GetWorkflowExecutionHistoryReverseResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{
			{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED},
		}}}, nil).AnyTimes()
	c.On("WorkflowService").Return(service).Maybe()
	intaketest.LostAtFirst(c, func() {})
	m := intaketest.Requested("lab")
	in.SetTried(m, time.Now().Add(-time.Hour))
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
}
