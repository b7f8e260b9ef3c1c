package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// markedFor is the duplicate window of the stream of events.
const markedFor = 10 * time.Minute

// TestIntake_PublishedAgainAfterClose: the run that took the event has completed, and none, or another one, is open.
func TestIntake_PublishedAgainAfterClose(t *testing.T) {
	t.Parallel()
	t.Run("no other round", func(t *testing.T) {
		t.Parallel()
		in, c := intaketest.Setup(t)
		intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
		intaketest.Completed(c, "latest")
		taken := intaketest.Taking(c)
		intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Again("e1")), "", false)
		require.Empty(t, *taken)
		intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Again("e2")), "", false)
		require.Equal(t, []string{"e2"}, *taken, "an old event that no run knows is served")
	})
	t.Run("another round is open", func(t *testing.T) {
		t.Parallel()
		in, c := intaketest.Setup(t)
		c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now()), nil)
		var query string
		c.On("ListWorkflow", mock.Anything, mock.Anything).Return(
			func(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
				query = r.GetQuery()
				return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{{
					Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Execution: &commonpb.WorkflowExecution{RunId: "first"},
				}}}, nil
			})
		intaketest.Completed(c, "first")
		taken := intaketest.Taking(c)
		m := intaketest.Again("e1")
		intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
		require.Empty(t, *taken)
		_, since, _ := strings.Cut(query, "CloseTime >= '")
		at, err := time.Parse(time.RFC3339, strings.TrimSuffix(since, "'"))
		require.NoError(t, err)
		require.WithinDuration(t, m.Received.Add(-time.Hour-step.ClockSlack), at, 30*time.Second, "since the event was made")
	})
}

// TestIntake_PublishedAgainToALongRun: a run that began before the event was made is the only one that can have taken it. It
// is asked, and no other is listed.
func TestIntake_PublishedAgainToALongRun(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now().Add(-2*time.Hour)), nil)
	taken := intaketest.Taking(c)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Again("e1")), "", false)
	require.Equal(t, []string{"e1"}, *taken)
	c.AssertNotCalled(t, "ListWorkflow", mock.Anything, mock.Anything)
}

// TestIntake_PublishedAgainAfterItsReply: the conversation keeps the ids of its latest events only. An event whose reply is
// stored is not asked for again, however long ago that was.
func TestIntake_PublishedAgainAfterItsReply(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now().Add(-2*time.Hour)), nil).Maybe()
	taken := intaketest.Taking(c)
	sent := &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, "shop")}}
	in.Answers.Replies = sent

	m := intaketest.Again("e1")
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Empty(t, *taken)
	require.WithinDuration(t, m.Received.Add(-time.Hour-step.ClockSlack), sent.Since, time.Minute)

	sent.Lost = errors.New("away")
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, []string{"e1"}, *taken, "a conversation recognises its latest events itself")
}

// TestIntake_MarkedEventIsLookedFor: an event that hookturn has published again was stored in the ten minutes before, whatever
// the engine's clock has written into it.
func TestIntake_MarkedEventIsLookedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ age, since time.Duration }{
		"new":                      {0, markedFor},
		"by a clock that is ahead": {-time.Hour, markedFor},
		"older":                    {time.Hour, time.Hour},
		"too old":                  {100 * time.Hour, step.RepliesKept},
	} {
		for botName, answered := range map[string]bool{"shop": false, "absent": true} {
			t.Run(name+", "+botName, func(t *testing.T) {
				t.Parallel()
				in, _ := intaketest.Setup(t)
				sent := &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, botName)}}
				in.Answers.Replies = sent
				m := intaketest.MessageOf(time.Now().Add(-c.age), botName, schemas.TypeStepRequested, `{"step":"ORDER"}`)
				m.Header.Set(schemas.HeaderAgain, "true")
				letter := fault.Kind("")
				if answered {
					letter = fault.UnknownBot
				}
				intaketest.RequireOutcome(t, in.Handle(t.Context(), m), letter, false)
				require.Len(t, sent.Published, 1)
				require.WithinDuration(t, m.Received.Add(-c.since-step.ClockSlack), sent.Since, 30*time.Second)
			})
		}
	}
}

// TestIntake_RepeatedDeadLetter: an event that became a dead letter, and is repeated when its message is gone, does not become
// another one.
func TestIntake_RepeatedDeadLetter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(*eventreader.Message)
		outcome schemas.Outcome
		letter  bool
	}{
		"again":                    {outcome: schemas.OutcomeRejected},
		"of the engine":            {change: func(m *eventreader.Message) { m.Header.Del(schemas.HeaderAgain) }, outcome: schemas.OutcomeRejected, letter: true},
		"served before":            {outcome: schemas.OutcomeSuccess, letter: true},
		"its letter is not stored": {change: func(m *eventreader.Message) { m.Deliveries = 2 }, outcome: schemas.OutcomeRejected, letter: true},
		"another reader":           {change: func(m *eventreader.Message) { m.TakenOver = true }, outcome: schemas.OutcomeRejected, letter: true},
		"its letter failed":        {change: func(m *eventreader.Message) { m.Tried = true }, outcome: schemas.OutcomeRejected, letter: true},
		"replayed":                 {change: func(m *eventreader.Message) { replay(m) }, outcome: schemas.OutcomeRejected, letter: true},
	} {
		for botName, kind := range map[string]fault.Kind{"absent": fault.UnknownBot, "shop": fault.BadEvent} {
			t.Run(name+", "+botName, func(t *testing.T) {
				t.Parallel()
				in, c := intaketest.Setup(t)
				c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now()), nil).Maybe()
				c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
				intaketest.Taking(c)
				before, err := schemas.NewReply(schemas.BotID{Tenant: "default", Bot: botName}.WithConversation("c-42"), "e1",
					schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e1", Outcome: tc.outcome})
				require.NoError(t, err)
				sent := &intaketest.Replies{Published: []schemas.Reply{before}}
				in.Answers.Replies = sent
				m := intaketest.Message(botName, schemas.TypeStepRequested, `{"step":7}`)
				m.Deliveries = 1
				m.Header.Set(schemas.HeaderAgain, "true")
				if tc.change != nil {
					tc.change(m)
				}
				if !tc.letter {
					kind = ""
				}
				intaketest.RequireOutcome(t, in.Handle(t.Context(), m), kind, false)
				if name != "of the engine" {
					require.Len(t, sent.Published, 1)
				}
			})
		}
	}
}

// TestIntake_NewEventIsNotLookedFor: an event that comes as soon as it was made costs no look-up.
func TestIntake_NewEventIsNotLookedFor(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	taken := intaketest.Taking(c)
	sent := &intaketest.Replies{}
	in.Answers.Replies = sent
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Requested("shop")), "", false)
	require.Equal(t, []string{"e1"}, *taken)
	require.Zero(t, sent.Since)
	c.AssertNotCalled(t, "DescribeWorkflowExecution", mock.Anything, mock.Anything, mock.Anything)
}

// TestIntake_DeliveryKnowsWhenItWasStored: by the clock of JetStream, since an engine's may be ahead; by the engine's where the
// event may have been stored before.
func TestIntake_DeliveryKnowsWhenItWasStored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ made, stored time.Duration }{
		"clock ahead":     {10 * time.Minute, 0},
		"new":             {0, 0},
		"published again": {-time.Hour, -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, temporal := intaketest.Setup(t)
			temporal.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now()), nil).Maybe()
			temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
			var got step.Delivery
			intaketest.Accepting(temporal, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				got = o.UpdateOptions.Args[0].(step.Delivery)
				return intaketest.UpdateHandle(nil), nil
			})
			m := intaketest.MessageOf(time.Now().Add(c.made), "shop", schemas.TypeStepRequested, `{"step":"ORDER"}`)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
			require.WithinDuration(t, m.Received.Add(c.stored), got.Stored, time.Second)
		})
	}
}

// TestIntake_UnknownBotAnsweredOnce: the answer that no conversation gives is published once as well. To an event that comes
// for the first time it is not looked for, because that would read what the engine has stored: the stream drops a second one
// by its id.
func TestIntake_UnknownBotAnsweredOnce(t *testing.T) {
	t.Parallel()
	old, fresh := time.Now().Add(-time.Hour), time.Now().Add(-13*time.Minute)
	for name, c := range map[string]struct {
		made  time.Time
		come  func(*eventreader.Message)
		since time.Time // from when the answer is looked for; the zero time: it is not
	}{
		"new":               {made: time.Now()},
		"of the future":     {made: time.Now().Add(time.Hour)},
		"of long ago":       {made: time.Now().Add(-73 * time.Hour)},
		"published again":   {made: old, since: old},
		"redelivered":       {made: time.Now(), come: func(m *eventreader.Message) { m.Deliveries = 2 }, since: time.Now()},
		"taken over":        {made: time.Now(), come: func(m *eventreader.Message) { m.TakenOver = true }, since: time.Now()},
		"waited for long":   {made: old, come: func(m *eventreader.Message) { m.Received = old }, since: old},
		"waited for a time": {made: fresh, come: func(m *eventreader.Message) { m.Received = fresh }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _ := intaketest.Setup(t)
			sent := &intaketest.Replies{}
			in.Answers.Replies = sent
			for range 2 {
				m := intaketest.MessageOf(c.made, "mall", schemas.TypeStepRequested, `{"step":"ORDER"}`)
				if c.come != nil {
					c.come(m)
				}
				intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "unknown_bot", false)
			}
			if c.since.IsZero() {
				require.Zero(t, sent.Since)
				require.Len(t, sent.Published, 2)
				require.Equal(t, sent.Published[0].ID, sent.Published[1].ID)
				return
			}
			require.WithinDuration(t, c.since.Add(-step.ClockSlack), sent.Since, 30*time.Second)
			require.Len(t, sent.Published, 1)
		})
	}
}

// TestIntake_InvalidEventAnsweredOnce: so is the answer to an event whose data cannot be read, whatever the bot.
func TestIntake_InvalidEventAnsweredOnce(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour)
	for botName, kind := range map[string]fault.Kind{"mall": fault.UnknownBot, "shop": fault.BadEvent, "free": fault.BadEvent} {
		t.Run(botName, func(t *testing.T) {
			t.Parallel()
			in, _ := intaketest.Setup(t)
			sent := &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, botName)}}
			in.Answers.Replies = sent
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.MessageOf(old, botName, schemas.TypeStepRequested, `{"step":7}`)), kind, false)
			require.Len(t, sent.Published, 1)
			require.WithinDuration(t, old.Add(-step.ClockSlack), sent.Since, 30*time.Second)
		})
	}
}

// TestIntake_UnorderedEventAnsweredOnce: a step without a conversation whose run the server has forgotten is not run again.
func TestIntake_UnorderedEventAnsweredOnce(t *testing.T) {
	t.Parallel()
	in, _ := intaketest.Setup(t)
	sent := &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, "free")}}
	in.Answers.Replies = sent
	old, second := intaketest.MessageOf(time.Now().Add(-time.Hour), "free", schemas.TypeStepRequested, `{"step":"ORDER"}`), intaketest.Requested("free")
	second.Deliveries = 2
	for _, m := range []*eventreader.Message{old, second} {
		sent.Since = time.Time{}
		intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
		require.NotZero(t, sent.Since)
	}
}
