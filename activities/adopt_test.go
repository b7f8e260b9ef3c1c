package activities_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// readBefore is a reply to a step that the engine has read already.
func readBefore(t *testing.T, in step.WebhookInput, change func(*schemas.StepReplied)) *schemas.Reply {
	t.Helper()
	failed := in.Replied(step.WebhookResult{
		Answer: dialect.Answer{
			Success: true, Messages: []schemas.Message{schemas.Text("first")},
			ConversationDetails: json.RawMessage(`{"order":"A12"}`), Conversation: schemas.ConversationComplete,
		},
		Attempts: []schemas.Attempt{{N: 1, Status: 200}},
	}, nil)
	if change != nil {
		change(&failed)
	}
	to := step.Address{ConversationKey: in.Plan.BotID.WithConversation(in.Event.Subject), Event: in.Event}
	made, err := to.Reply(schemas.TypeStepReplied, in.Deadline, failed)
	require.NoError(t, err)
	return &made.Reply
}

// TestCallWebhook_AdoptsTheReplyOfALostWorker: a reply that the engine has read is how the step ended, also for the
// conversation; the endpoint is not asked again.
func TestCallWebhook_AdoptsTheReplyOfALostWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.found = readBefore(t, in, nil)
	result, err := b.call(in)
	require.NoError(t, err)
	require.Empty(t, b.requests)
	require.Equal(t, b.found.ID, result.ReplyID)
	require.JSONEq(t, `{"order":"A12"}`, string(result.ConversationDetails))
	again, err := json.Marshal(in.Replied(result, nil))
	require.NoError(t, err)
	require.JSONEq(t, string(b.found.Data), string(again), "the workflow comes to the reply that was read")
}

// TestCallWebhook_LooksForRepliesOfAnEarlierBegin: after an outage the server repeats a workflow task, and the step begins
// again with a new time. Its reply may be as old as the event, within bounds.
func TestCallWebhook_LooksForRepliesOfAnEarlierBegin(t *testing.T) {
	t.Parallel()
	accepted := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for sent, since := range map[time.Time]time.Time{
		{}:                              accepted.Add(-time.Minute),
		accepted.Add(time.Hour):         accepted.Add(-time.Minute), // the engine's clock is ahead
		accepted.Add(-20 * time.Minute): accepted.Add(-21 * time.Minute),
		accepted.Add(-50 * time.Hour):   accepted.Add(-50*time.Hour - time.Minute),
		accepted.AddDate(-1, 0, 0):      accepted.Add(-time.Hour - time.Minute),
	} {
		b := setup(t)
		b.local = true
		in := b.input(t, "PLAIN")
		in.Event.Subject, in.Event.Time, in.Accepted, in.Reply = "c-42", sent, accepted, true
		b.found = readBefore(t, in, nil)
		_, err := b.call(in)
		require.NoError(t, err)
		require.Equal(t, since, b.since, sent)
	}
}

// TestCallWebhook_OldEvent: when an operator resets a run, the server applies its Updates again. Only the first one is the first
// attempt of the run; the reply to an event that is older than the ids that the stream knows is looked for all the same.
func TestCallWebhook_OldEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	first := b.input(t, "PLAIN")
	first.Event.Subject, first.Event.Time, first.Reply = "c-42", time.Now(), true
	b.publish = func(schemas.Reply) error { return nil }
	_, err := b.call(first)
	require.NoError(t, err)
	for age, asked := range map[time.Duration]bool{time.Minute: true, 20 * time.Minute: false, 100 * time.Hour: true} {
		in := b.input(t, "PLAIN")
		in.Event.Subject, in.Event.Time, in.Reply = "c-42", time.Now().Add(-age), true
		b.found = readBefore(t, in, nil)
		before := len(b.requests)
		_, err = b.call(in)
		require.NoError(t, err)
		require.Equal(t, asked, len(b.requests) > before, age)

		in = b.input(t, "PLAIN") // by an engine whose clock is ahead
		in.Event.Subject, in.Event.Time, in.Stored, in.Reply = "c-42", time.Now().Add(time.Hour), time.Now().Add(-age), true
		b.found, before = readBefore(t, in, nil), len(b.requests)
		_, err = b.call(in)
		require.NoError(t, err)
		require.Equal(t, asked, len(b.requests) > before, age)
	}
}

func TestCallWebhook_AdoptsAFailureThatWasRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	in := b.input(t, "PLAIN")
	in.Reply = true
	b.found = readBefore(t, in, func(r *schemas.StepReplied) {
		*r = in.Replied(step.WebhookResult{Attempts: []schemas.Attempt{{N: 1, Error: "timeout"}}}, fault.New(fault.Timeout, "slow"))
	})
	_, err := b.call(in)
	p := progress(t, err)
	require.Equal(t, fault.Timeout, p.Fault.Kind)
	require.Zero(t, p.RetryIn, "the engine has read the end of the step")
	require.True(t, p.Replied, "the workflow does not publish it again")
	require.Len(t, p.Attempts, 1)
	require.Empty(t, b.requests)
}

// TestCallWebhook_AdoptsTheReplyPublishedMeanwhile: a worker that was taken for lost goes on and publishes first.
func TestCallWebhook_AdoptsTheReplyPublishedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.stored = readBefore(t, in, nil)
	b.publish = func(schemas.Reply) error { return nil }
	result, err := b.call(in)
	require.NoError(t, err)
	require.Len(t, b.requests, 1)
	require.Equal(t, []schemas.Message{schemas.Text("first")}, result.Messages)
	require.Equal(t, schemas.ConversationComplete, result.Conversation)
}

// TestCallWebhook_AdoptionUndoesUserDetails: the details of the user are those of the reply that the engine has read, not those
// that the repeated attempt has stored.
func TestCallWebhook_AdoptionUndoesUserDetails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.users["default/91"] = json.RawMessage(`{"shoe":"42","size":"M"}`)
	b.answer = func(int) (*egress.Response, error) {
		return response(200, `{"response":["ok"],"user_details":{"shoe":"43","hat":"7"}}`), nil
	}
	b.stored = readBefore(t, in, func(r *schemas.StepReplied) { r.UserDetails = json.RawMessage(`{"shoe":"44","size":"M"}`) })
	b.publish = func(schemas.Reply) error { return nil }
	result, err := b.call(in)
	require.NoError(t, err)
	require.Nil(t, result.Wrote)
	require.JSONEq(t, `{"shoe":"44","size":"M"}`, string(b.users["default/91"]))

	b.stored = nil
	b.publish = func(schemas.Reply) error { return errors.New("away") }
	in = b.input(t, "PLAIN")
	in.Reply = true
	result, err = b.call(in)
	require.NoError(t, err)
	require.Empty(t, result.ReplyID)
	require.NotNil(t, result.Wrote, "the workflow publishes the reply, and must know what to undo")
	require.JSONEq(t, `{"shoe":"43","hat":"7","size":"M"}`, string(b.users["default/91"]))
}

// losingTheStore is a step whose answer changes the user's details when the store of users cannot be reached any more.
func losingTheStore(t *testing.T) (*bundle, step.WebhookInput) {
	t.Helper()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.users["default/91"] = json.RawMessage(`{"shoe":"42"}`)
	b.answer = func(int) (*egress.Response, error) {
		b.broken = errors.New("away")
		return response(200, `{"response":["ok"],"user_details":{"shoe":"43"}}`), nil
	}
	return b, in
}

// TestCallWebhook_FailedWriteIsUndone: a write whose acknowledgement was lost may be stored. The reply reports that the details
// could not be kept, so they are not.
func TestCallWebhook_FailedWriteIsUndone(t *testing.T) {
	t.Parallel()
	b, in := losingTheStore(t)
	b.publish = func(schemas.Reply) error {
		b.broken = nil
		b.users["default/91"] = json.RawMessage(`{"shoe":"43"}`) // stored all the same
		return nil
	}
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, fault.Internal, result.Problem.Kind)
	require.JSONEq(t, `{"shoe":"42"}`, string(b.users["default/91"]))
}

// TestCallWebhook_UndoIsTriedAgain: the reply is out, and the store of users cannot be reached: the workflow publishes the reply
// until what it reports is so.
func TestCallWebhook_UndoIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, in := losingTheStore(t)
	var out schemas.Reply
	b.publish = func(r schemas.Reply) error {
		if r.Type == schemas.TypeStepReplied {
			out = r
		}
		return nil
	}
	result, err := b.call(in)
	require.NoError(t, err)
	require.Empty(t, result.ReplyID, "published, but not as it reports")
	require.True(t, result.Wrote.Failed)
	publish := step.PublishInput{BotID: in.Plan.BotID, Reply: out, Wrote: result.Wrote}
	b.stored = &out // a reply is stored once
	_, err = b.ExecuteActivity(step.ActivityPublish, publish)
	require.Error(t, err, "the workflow tries again")

	b.broken = nil
	b.users["default/91"] = json.RawMessage(`{"shoe":"43"}`) // stored late
	_, err = b.ExecuteActivity(step.ActivityPublish, publish)
	require.NoError(t, err)
	require.JSONEq(t, `{"shoe":"42"}`, string(b.users["default/91"]))
}

// TestCallWebhook_AdoptionSettlesUserDetails: an attempt of the step wrote its answer over that of the reply, and ended with
// its worker.
func TestCallWebhook_AdoptionSettlesUserDetails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ writer, want string }{
		"this step":    {"", `{"shoe":"42"}`},
		"another step": {"another reply", `{"shoe":"43"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			in := b.input(t, "PLAIN")
			in.Event.Subject, in.Reply = "c-42", true
			b.found = readBefore(t, in, func(r *schemas.StepReplied) { r.UserDetails = json.RawMessage(`{"shoe":"42"}`) })
			b.users["default/91"], b.writer = json.RawMessage(`{"shoe":"43"}`), cmp.Or(c.writer, b.found.ID)
			result, err := b.call(in)
			require.NoError(t, err)
			require.Equal(t, b.found.ID, result.ReplyID)
			require.JSONEq(t, c.want, string(b.users["default/91"]))
		})
	}
}

// TestCallWebhook_LooksForAReplyOncePerRun: the steps of a conversation that this process serves cost no search.
func TestCallWebhook_LooksForAReplyOncePerRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.lost = errors.New("away")
	for range 3 {
		_, err := b.call(b.input(t, "PLAIN"))
		require.NoError(t, err, "a search that fails does not keep the step from its endpoint")
	}
	require.Equal(t, 1, b.looked)
	require.Len(t, b.requests, 3)
}

// TestCallWebhook_RunThatComesBack: a run that was at another worker meanwhile is searched for a reply again.
func TestCallWebhook_RunThatComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	_, err := b.call(b.input(t, "PLAIN")) // the run is known from here on
	require.NoError(t, err)
	require.Less(t, b.patience, time.Second)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.found = readBefore(t, in, nil)
	b.activities.RunReassigned("default-test-run-id")
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, b.found.ID, result.ReplyID)
	require.Len(t, b.requests, 1, "the endpoint is not asked again")
	require.Equal(t, 2, b.looked)
	require.Greater(t, b.patience, time.Second, "a reply that is likely to be there is waited for")
}

// TestCallWebhook_LaterAttemptOfARunThatComesBack: another worker may have made the attempts after the first, too.
func TestCallWebhook_LaterAttemptOfARunThatComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Event.Subject = "c-42"
	in.Progress = step.Progress{Attempts: []schemas.Attempt{{N: 1, Status: 503, Error: "status"}}}
	b.found = readBefore(t, in, nil)
	b.activities.RunReassigned("default-test-run-id")
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, b.found.ID, result.ReplyID)
	require.Empty(t, b.requests)
}

// TestCallWebhook_RepeatedActivityAdopts: an activity that the server repeats, because the worker's result did not
// reach it, finds the reply that the first one published, though the run is known to this process.
func TestCallWebhook_RepeatedActivityAdopts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&listener{attempt: 2}}})
	_, err := b.call(b.input(t, "PLAIN")) // the run is known from here on
	require.NoError(t, err)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	b.found = readBefore(t, in, nil)
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, b.found.ID, result.ReplyID)
	require.Len(t, b.requests, 1, "the endpoint is not asked again")
}
