package bot_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

func TestTemplate_Expand(t *testing.T) {
	t.Parallel()
	values := map[string]string{"chatId": `a"b\c`, "conversationClientId": "Zoë <1>"}
	context := json.RawMessage(`{"skill":"sales"}`)
	for name, c := range map[string]struct{ text, want string }{
		"both spellings": {
			`{"a": "{{$chatId}}", "b": "$chatId", "c": "{{ $chatId }}"}`,
			`{"a": "a\"b\\c", "b": "a\"b\\c", "c": "a\"b\\c"}`,
		},
		"context is JSON":      {`{"x": {{$context}}, "y": $context}`, `{"x": {"skill":"sales"}, "y": {"skill":"sales"}}`},
		"inside a longer text": {`{"x": "to $conversationClientId."}`, `{"x": "to Zoë <1>."}`},
		"an absent value":      {`{"x": "$channel"}`, `{"x": ""}`},
		"dollars and braces":   {`{"price": "$5 {{x}} $"}`, `{"price": "$5 {{x}} $"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsed, err := bot.ParseTemplate(c.text)
			require.NoError(t, err)
			require.JSONEq(t, c.want, parsed.Expand(values, context))
		})
	}
}

func TestTemplate_Default(t *testing.T) {
	t.Parallel()
	parsed, err := bot.ParseTemplate(bot.DefaultTemplate)
	require.NoError(t, err)
	got := parsed.Expand(map[string]string{
		"chatId": "1", "sessionId": "2", "accountId": "3", "channel": "4", "conversationHostId": "5", "conversationClientId": "6",
	}, nil)
	require.JSONEq(t, `{"chatId":"1","sessionId":"2","accountId":"3","channel":"4","conversationHostId":"5",
		"conversationClientId":"6","context":{}}`, got, "without a context it is valid all the same")
}

func TestTemplate_Invalid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{\n  \"id\": \"$chat\"}": "line 2, column 10: $chat is unknown: want one of $chatId, $sessionId, $accountId, $channel, " +
			"$conversationHostId, $conversationClientId, $context: did you mean chatId?",
		`{"id": "{{$chatId"}`: "line 1, column 9: {{$chatId is not closed by }}",
		`{"id": $chatId}`:     "is not a JSON template: put quotes around every variable but $context, and none around $context",
		`hello`:               "is not a JSON template: put quotes around every variable but $context, and none around $context",
	} {
		_, err := bot.ParseTemplate(text)
		require.EqualError(t, err, want)
	}
}
