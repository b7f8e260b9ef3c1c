package activities_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

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
