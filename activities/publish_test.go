package activities_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestPublish_ReplyGoesOutWithTheAnswer: what the engine gets from the activity is what the workflow would have published.
func TestPublish_ReplyGoesOutWithTheAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	b.answer = func(int) (*egress.Response, error) {
		return response(http.StatusOK, `{"response":["hello"],"conversation_details":{"order":"A12"}}`), nil
	}
	var published []schemas.Reply
	b.publish = func(r schemas.Reply) error { published = append(published, r); return nil }
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	result, err := b.call(in)
	require.NoError(t, err)
	require.Len(t, published, 1)
	reply := published[0]
	require.Equal(t, reply.ID, result.ReplyID)
	require.Equal(t, schemas.ReplyID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), "e1", schemas.TypeStepReplied), reply.ID)
	require.Equal(t, "c-42", reply.Subject)
	require.Equal(t, "/hookturn/default/shop", reply.Source)
	require.Equal(t, []string{"00-1-2-01", "a=b"}, []string{reply.TraceParent, reply.TraceState})
	var data schemas.StepReplied
	require.NoError(t, json.Unmarshal(reply.Data, &data))
	require.NotEmpty(t, data.Workflow.ID)
	want := in.Replied(result, nil)
	want.Workflow = data.Workflow
	wanted, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, string(wanted), string(reply.Data))
	require.JSONEq(t, `{"order":"A12"}`, string(data.ConversationDetails))
}

// TestPublish_ReplyIsLeftToTheWorkflow: the endpoint has answered and is not asked again, whatever becomes of the reply.
func TestPublish_ReplyIsLeftToTheWorkflow(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		step    string
		answer  *egress.Response
		asked   bool
		refused error
	}{
		"when it is not asked for":     {step: "PLAIN"},
		"when NATS is away":            {step: "PLAIN", asked: true, refused: fault.New(fault.Internal, "away")},
		"when no message can hold it":  {step: "PLAIN", asked: true, refused: fault.New(fault.TooLarge, "too long")},
		"when the endpoint calls back": {step: "DEFER", asked: true, answer: response(http.StatusAccepted, "")},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.local = true
			b.activities.Callbacks = offers{}
			b.publish = func(schemas.Reply) error { return tt.refused }
			if tt.answer != nil {
				b.answer = func(int) (*egress.Response, error) { return tt.answer, nil }
			}
			in := b.input(t, tt.step)
			in.Reply = tt.asked
			result, err := b.call(in)
			require.NoError(t, err)
			require.Empty(t, result.ReplyID)
			require.Len(t, b.requests, 1)
		})
	}
}

// TestPublish_VariablesThatDoNotFitAreInNoReply: the reply does not hold variables that the conversation does not take.
func TestPublish_VariablesThatDoNotFitAreInNoReply(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", step.VariablesMax)
	result := step.WebhookResult{Answer: dialect.Answer{Success: true, Variables: map[string]*string{"a": &long}}}
	result.FitVariables(nil)
	require.Nil(t, result.Variables)
	require.Equal(t, fault.TooLarge, result.Problem.Kind)

	fits := long[:step.VariablesMax-step.VariablesSize(map[string]string{"b": "", "kept": "x"})]
	result = step.WebhookResult{Answer: dialect.Answer{Variables: map[string]*string{"b": &fits, "gone": nil}}}
	result.FitVariables(map[string]string{"kept": "x"})
	require.Len(t, result.Variables, 2)
	require.Nil(t, result.Problem)
}

// TestPublishReply_StoredReply: the reply of a step whose end was found in the stream is not published a second time, however
// new its event is, unless the stream has lost it.
func TestPublishReply_StoredReply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stored    bool
		lost      error
		published int
	}{
		"is there":           {stored: true},
		"was lost":           {published: 1},
		"cannot be read now": {lost: errors.New("away")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			stored := time.Now().Add(-5 * time.Minute)
			to := step.Address{
				ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), Stored: stored,
				Event: schemas.Event{ID: "e1", Time: time.Now().Add(10 * time.Minute)},
			}
			data := schemas.StepReplied{EventID: "e1", Outcome: schemas.OutcomeBotBreak}
			in, err := to.Reply(schemas.TypeStepReplied, time.Now(), data)
			require.NoError(t, err)
			in.Replied = true
			if b.lost = c.lost; c.stored {
				b.found = &in.Reply
			}
			published := 0
			b.publish = func(schemas.Reply) error { published++; return nil }
			_, err = b.ExecuteActivity(step.ActivityPublish, in)
			require.Equal(t, c.lost != nil, err != nil, "it is tried again")
			require.Equal(t, c.published, published)
			require.WithinDuration(t, stored.Add(-step.ClockSlack), b.since, 0)
		})
	}
}

// TestPublishReply_CloseIsAsOldAsItsReply: the conversation.closed that follows a reply is looked for as the reply is.
func TestPublishReply_CloseIsAsOldAsItsReply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Stored, in.CloseEvent = "c-42", time.Now().Add(-20*time.Minute), "e1"
	data := in.Replied(step.WebhookResult{Answer: dialect.Answer{Success: true, Conversation: schemas.ConversationComplete}}, nil)
	to := step.Address{ConversationKey: in.Plan.BotID.WithConversation("c-42"), Event: in.Event, Stored: in.Stored}
	reply, err := to.Reply(schemas.TypeStepReplied, time.Now(), data)
	require.NoError(t, err)
	reply.Closing = in.Closing(data, time.Now())
	b.found = reply.Closing // the reply itself is not
	var published []string
	b.publish = func(r schemas.Reply) error { published = append(published, r.Type); return nil }
	_, err = b.ExecuteActivity(step.ActivityPublish, reply)
	require.NoError(t, err)
	require.Equal(t, []string{schemas.TypeStepReplied}, published)
}
