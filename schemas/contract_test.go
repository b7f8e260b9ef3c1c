package schemas_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// The names below are the contract's own spelling. Other people's programs hold them, so a test that fails here asks
// for a new major version, not for a new expectation.

func TestContract_StreamsAndSubjects(t *testing.T) {
	t.Parallel()
	require.Equal(t, "HOOKTURN_EVENTS", schemas.StreamEvents)
	require.Equal(t, "HOOKTURN_REPLIES", schemas.StreamReplies)
	require.Equal(t, "HOOKTURN_DEADLETTERS", schemas.StreamDeadLetters)
	require.Equal(t, "hookturn.events.acme.shop.c-42", schemas.Subject(schemas.SubjectEvents, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-42")))
	require.Equal(t, "hookturn.replies.acme.shop.c-42", schemas.Subject(schemas.SubjectReplies, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-42")))
	require.Equal(t, "hookturn.deadletters.acme.shop._",
		schemas.Subject(schemas.SubjectDeadLetters, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("_")))
	require.Equal(t, 1048576, schemas.MessageMax)
}

func TestConversationToken(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 64)
	for id, want := range map[string]string{
		"c-42":        "c-42",
		"A_z-09":      "A_z-09",
		longest:       longest,
		"":            "xe3b0c44298fc1c149afbf4c8996fb924",
		"a.b":         "x2e7336dc8eba87ef472df568c35482ab",
		longest + "a": "x635361c48bb9eab14198e76ea8ab7f1a",
	} {
		require.Equal(t, want, schemas.ConversationToken(id))
		require.True(t, schemas.IsToken(want))
	}
	for _, s := range []string{"", "a.b", "a b", "é", "a*", ">", longest + "a"} {
		require.False(t, schemas.IsToken(s), s)
	}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	key, ok := schemas.ParseSubject(schemas.SubjectEvents, "hookturn.events.acme.shop.c-42")
	require.True(t, ok)
	require.Equal(t, []string{"acme", "shop", "c-42"}, []string{key.Tenant, key.Bot, key.Conversation})
	for _, subject := range []string{
		"", "hookturn.events", "hookturn.events.acme", "hookturn.events.acme.shop", "hookturn.events.acme.shop.c.42",
		"hookturn.replies.acme.shop.c-42", "xhookturn.events.acme.shop.c-42",
	} {
		_, ok := schemas.ParseSubject(schemas.SubjectEvents, subject)
		require.False(t, ok, subject)
	}
}

// identities differ in one member each, and in where one member ends and the next begins.
func identities() []schemas.ConversationKey {
	var keys []schemas.ConversationKey
	for _, names := range [][3]string{
		{"a", "b", "c"}, {"x", "b", "c"}, {"a", "x", "c"}, {"a", "b", "x"}, {"ab", "", "c"}, {"a", "bc", ""}, {"a", "b", "c\x00"},
	} {
		keys = append(keys, schemas.BotID{Tenant: names[0], Bot: names[1]}.WithConversation(names[2]))
	}
	return keys
}

// TestEncodeID pins encodings: runs that are open during an upgrade have ids made of them.
func TestEncodeID(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/encoded-ids.json")
	require.NoError(t, err)
	var vectors []struct{ ID, Encoded, Why string }
	require.NoError(t, json.Unmarshal(raw, &vectors))
	seen := map[string]bool{}
	for _, v := range vectors {
		require.Equal(t, v.Encoded, schemas.EncodeID(v.ID), v.Why)
		require.Regexp(t, `^[!-~]{1,256}$`, schemas.EncodeID(v.ID), v.Why)
		require.NotContains(t, schemas.EncodeID(v.ID), ".", v.Why)
		seen[v.Encoded] = true
	}
	require.Len(t, seen, len(vectors), "different ids have different encodings")
	require.Len(t, schemas.EncodeID("\xff\xfe"), 36, "invalid UTF-8")
	require.NotEqual(t, schemas.EncodeID("\xff"), schemas.EncodeID("\xfe"))
}

// TestReplyID pins ids: a change would let a reply through that a stream has already.
func TestReplyID(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")
	require.Equal(t, "1c1699a2-fca0-5dd5-87f0-77ccacef24c0", schemas.ReplyID(shop, "e1", schemas.TypeStepReplied))
	seen := map[string]bool{}
	for _, key := range identities() {
		for _, id := range []string{"1", "2"} {
			seen[schemas.EventMsgID(key, id)] = true
			for _, replyType := range schemas.ReplyTypes() {
				seen[schemas.ReplyID(key, id, replyType)] = true
			}
		}
	}
	require.Len(t, seen, len(identities())*2*(1+len(schemas.ReplyTypes())))
}

func TestContract_EnumsOfSchemas(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		schema string
		path   []string
		want   []string
	}{
		"outcomes": {schemas.SchemaCommon, []string{"$defs", "outcome", "enum"}, []string{
			"success", "failure", "bot_break", "handover", "continued", "accepted", "delivered", "undelivered", "rejected",
		}},
		"outcomes in Go":    {schemas.SchemaCommon, []string{"$defs", "outcome", "enum"}, texts(schemas.Outcomes())},
		"error codes in Go": {schemas.SchemaCommon, []string{"$defs", "failure", "enum"}, texts(fault.Kinds())},
		"conversation states": {schemas.SchemaCommon, []string{"$defs", "conversationState", "enum"},
			[]string{schemas.ConversationOpen, schemas.ConversationComplete, schemas.ConversationHandover}},
		"audit actions": {schemas.SchemaAudit, []string{"$defs", "audited", "properties", "action", "enum"},
			texts(schemas.AuditActions())},
		"dead letter headers": {schemas.SchemaDeadLetter, []string{"required"}, schemas.DeadLetterHeaders()},
		"reasons of a close": {schemas.SchemaReply,
			[]string{"$defs", "conversationClosed", "properties", "reason", "examples"},
			[]string{schemas.ClosedCompleted, schemas.ClosedIdle, schemas.ClosedHandover}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, schemaList(t, tt.schema, tt.path...))
		})
	}
}

func TestContract_ErrorCodes(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"dns", "connect", "tls", "timeout", "reset", "status", "redirect", "blocked", "too_large", "encoding",
		"bad_response", "rate_limited", "circuit_open", "gone", "expired", "queue_full", "unknown_bot", "unknown_step",
		"bad_event", "config", "script_syntax", "script_no_main", "script_exception", "script_crash",
		"script_bad_response", "script_timeout", "script_cpu", "script_memory", "script_forbidden", "sandbox_unavailable",
		"outcome_unknown", "cancelled", "internal",
	}, schemaList(t, schemas.SchemaCommon, "$defs", "failure", "enum"))
}

// TestContract_UnionsHaveEveryType makes sure that each event, reply and advisory type has one definition of its own, with a const
// type: programs that make code from the schemas find the type of data by it.
func TestContract_UnionsHaveEveryType(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][]string{
		schemas.SchemaEvent: schemas.EventTypes(), schemas.SchemaReply: schemas.ReplyTypes(),
		schemas.SchemaAdvisory: {schemas.TypeEndpointChanged, schemas.TypeChannelChanged},
	} {
		raw, err := schemas.JSONSchema(name)
		require.NoError(t, err)
		doc := jsonMap(t, raw)
		var got []string
		for _, member := range at(t, doc, "oneOf").([]any) {
			definition := strings.TrimPrefix(at(t, member, "$ref").(string), "#/$defs/")
			kind := at(t, doc, "$defs", definition, "properties", "type", "const").(string)
			require.NotEmpty(t, at(t, doc, "$defs", definition, "properties", "data", "$ref"))
			got = append(got, kind)
		}
		require.Equal(t, types, got, name)
	}
	require.Equal(t, []string{
		"hookturn.step.requested", "hookturn.entities.collected", "hookturn.message.received",
		"hookturn.conversation.event", "hookturn.conversation.handover", "hookturn.conversation.ended",
	}, schemas.EventTypes())
	require.Equal(t, []string{
		"hookturn.step.replied", "hookturn.step.waiting", "hookturn.step.progress", "hookturn.step.late",
		"hookturn.message.sent", "hookturn.conversation.closed",
	}, schemas.ReplyTypes())
}

// schemaList is the list of strings at a path in a schema.
func schemaList(t *testing.T, name string, path ...string) []string {
	t.Helper()
	raw, err := schemas.JSONSchema(name)
	require.NoError(t, err)
	var node any = jsonMap(t, raw)
	for _, key := range path {
		node = node.(map[string]any)[key]
	}
	var list []string
	for _, item := range node.([]any) {
		list = append(list, item.(string))
	}
	return list
}

func texts[T ~string](words []T) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}

func jsonMap(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(raw, &m))
	return m
}
