package schemas_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

var noon = time.Date(2026, 11, 20, 13, 0, 0, 5000000, time.FixedZone("CET", 3600))

func newReply(t *testing.T, replyType string, data any) schemas.Reply {
	t.Helper()
	r, err := schemas.NewReply(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c 42"), "e1", replyType, noon, data)
	require.NoError(t, err)
	return r
}

func TestNewReply(t *testing.T) {
	t.Parallel()
	r := newReply(t, schemas.TypeConversationClosed, schemas.ConversationClosed{Reason: schemas.ClosedIdle})
	raw, err := r.Encode()
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"`+schemas.ReplyID(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c 42"), "e1", schemas.TypeConversationClosed)+
		`","source":"/hookturn/acme/shop","type":"hookturn.conversation.closed","time":"2026-11-20T12:00:00.005Z",`+
		`"subject":"c 42","datacontenttype":"application/json","data":{"reason":"idle","workflow":{"id":"","run_id":""}}}`,
		string(raw))
}

// TestNewReply_ZeroData encodes the zero value of each type of reply: what the schema asks for is there all the same.
func TestNewReply_ZeroData(t *testing.T) {
	t.Parallel()
	for _, replyType := range schemas.ReplyTypes() {
		data := replyData(t, replyType)
		if replied, ok := data.(*schemas.StepReplied); ok {
			replied.Outcome = schemas.OutcomeSuccess
		}
		raw, err := newReply(t, replyType, data).Encode()
		require.NoError(t, err)
		require.NoError(t, validateJSON(schema(t, schemas.SchemaReply), raw), replyType)
	}
}

func TestNewReply_IsDeterministic(t *testing.T) {
	t.Parallel()
	data := schemas.StepReplied{Outcome: schemas.OutcomeSuccess, Variables: map[string]*string{}}
	for name := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		data.Variables[name] = nil
	}
	first, err := newReply(t, schemas.TypeStepReplied, data).Encode()
	require.NoError(t, err)
	for range 20 {
		again, err := newReply(t, schemas.TypeStepReplied, data).Encode()
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

func TestNewReply_KeepsTexts(t *testing.T) {
	t.Parallel()
	data := schemas.StepReplied{Outcome: schemas.OutcomeSuccess, Messages: []schemas.Message{
		schemas.Text(`<a href="x">Tom & Jerry</a>`),
		schemas.Text(""),
		schemas.HSL(json.RawMessage(`{"text":"<b>"}`)),
		schemas.Custom(json.RawMessage(`1.0`)),
	}}
	raw, err := newReply(t, schemas.TypeStepReplied, data).Encode()
	require.NoError(t, err)
	require.Contains(t, string(raw), `"messages":[{"type":"text","text":"<a href=\"x\">Tom & Jerry</a>"},`+
		`{"type":"text","text":""},{"type":"hsl","hsl":{"text":"<b>"}},{"type":"custom","payload":1.0}]`)
}

func TestNewReply_Refuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		replyType string
		data      any
		want      string
	}{
		"unknown type":       {"hookturn.step.requested", struct{}{}, `"hookturn.step.requested" is not a valid reply type`},
		"data of no object":  {schemas.TypeStepReplied, nil, "is not a JSON object"},
		"data with bad JSON": {schemas.TypeStepReplied, schemas.StepReplied{Output: json.RawMessage("{")}, "make the data"},
		"data without JSON":  {schemas.TypeStepReplied, func() {}, "make the data of hookturn.step.replied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schemas.NewReply(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c"), "e1", tt.replyType, noon, tt.data)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestEncode_RefusesTooLarge(t *testing.T) {
	t.Parallel()
	r := newReply(t, schemas.TypeMessageSent, schemas.MessageSent{
		Messages: []schemas.Message{schemas.Text(strings.Repeat("x", schemas.MessageMax))},
	})
	_, err := r.Encode()
	require.ErrorContains(t, err, "encode hookturn.message.sent: it is ")
}

// TestEncode_MessagesSurviveJSON holds what Temporal does to payloads: json.Marshal, then json.Unmarshal.
func TestEncode_MessagesSurviveJSON(t *testing.T) {
	t.Parallel()
	want := []schemas.Message{schemas.Text(""), schemas.Text("<&>"), schemas.HSL(json.RawMessage(`{"a":1}`)),
		schemas.Custom(json.RawMessage(`null`)), schemas.Custom(json.RawMessage(`[1]`)), {Type: "image"}}
	raw, err := json.Marshal(want)
	require.NoError(t, err)
	var got []schemas.Message
	require.NoError(t, json.Unmarshal(raw, &got))
	require.Equal(t, want, got)
}
