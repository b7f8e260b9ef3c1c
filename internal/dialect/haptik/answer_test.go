package haptik_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

const (
	button = `{"text":"What now?","type":"BUTTON","data":{"items":[]}}`
	// buttonText is the same button in the vendor's spelling: a JSON string.
	buttonText = `"{\"text\":\"What now?\",\"type\":\"BUTTON\",\"data\":{\"items\":[]}}"`
)

func text(s string) schemas.Message { return schemas.Text(s) }
func hsl(s string) schemas.Message  { return schemas.HSL(json.RawMessage(s)) }

func TestDecode_Messages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, response string
		want           []schemas.Message
	}{
		{"several in order", `["one","two","three"]`, []schemas.Message{text("one"), text("two"), text("three")}},
		{"a string is one message", `"hello"`, []schemas.Message{text("hello")}},
		{"HSL as a string", `["Found it.",` + buttonText + `]`, []schemas.Message{text("Found it."), hsl(button)}},
		{"HSL as an object", `[` + button + `,"x"]`, []schemas.Message{hsl(button), text("x")}},
		{"HSL string alone", buttonText, []schemas.Message{hsl(button)}},
		{"HSL object alone", button, []schemas.Message{hsl(button)}},
		{"HSL string with space", `" {\"type\":\"TEXT\",\"data\":{}}\n"`, []schemas.Message{hsl(`{"type":"TEXT","data":{}}`)}},
		{"unknown HSL type", `[{"type":"NEW_THING","data":1}]`, []schemas.Message{hsl(`{"type":"NEW_THING","data":1}`)}},
		{"object without type", `[{"text":"x"}]`, []schemas.Message{hsl(`{"text":"x"}`)}},
		{"FORM as a string has no data", `["{\"type\":\"FORM\",\"fields\":[]}"]`, []schemas.Message{hsl(`{"type":"FORM","fields":[]}`)}},
		{"FORM as an object", `{"type":"FORM","fields":[]}`, []schemas.Message{hsl(`{"type":"FORM","fields":[]}`)}},
		{"JSON text with a type that is not a string", `["{\"type\":7,\"data\":{}}"]`, []schemas.Message{text(`{"type":7,"data":{}}`)}},
		{"NUL in HSL as a string", `["{\"type\":\"FORM\",\"text\":\"a\\u0000\"}"]`,
			[]schemas.Message{hsl(`{"type":"FORM","text":"a\ufffd"}`)}},
		{"number", `71`, []schemas.Message{text("71")}},
		{"boolean", `false`, []schemas.Message{text("false")}},
		{"numbers and booleans", `[1, 1.50, -1e400, true]`,
			[]schemas.Message{text("1"), text("1.50"), text("-1e400"), text("true")}},
		{"null elements are left out", `[null,"x",null]`, []schemas.Message{text("x")}},
		{"NUL and half a pair", `["a\u0000","\ud83d"]`, []schemas.Message{text("a\uFFFD"), text("\uFFFD")}},
		{"JSON text without type", `["{\"data\":{}}"]`, []schemas.Message{text(`{"data":{}}`)}},
		{"JSON array as text", `["[1,2]"]`, []schemas.Message{text("[1,2]")}},
		{"broken HSL is text", `["{\"type\":\"BUTTON\",\"data\":"]`, []schemas.Message{text(`{"type":"BUTTON","data":`)}},
		{"brace is text", `["{name}, hello"]`, []schemas.Message{text("{name}, hello")}},
		{"blank ones are left out", `[""," \n","x"]`, []schemas.Message{text("x")}},
		{"text as it is", `["\u003cb\u003e \ud83d\ude00\\n"]`, []schemas.Message{text(`<b> 😀\n`)}},
		{"numbers as text", `[{"type":"A","data":{"n":1e400,"m":0.10}}]`,
			[]schemas.Message{hsl(`{"type":"A","data":{"n":1e400,"m":0.10}}`)}},
		{"deep HSL string is text", `["` + strings.Repeat(`{\"a\":`, 65) + `"]`,
			[]schemas.Message{text(strings.Repeat(`{"a":`, 65))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, err := haptik.New().Decode(anonymous(), []byte(`{"response":`+tt.response+`}`))
			require.NoError(t, err)
			require.Equal(t, tt.want, answer.Messages)
			require.True(t, answer.Success, "an absent status is true")
			require.Equal(t, "{}", string(answer.ConversationDetails))
			require.Nil(t, answer.UserDetailsUpdate)
			require.Nil(t, answer.Problem)
		})
	}
}

func TestDecode_Status(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		`true`: true, `false`: false, `null`: true, `"true"`: true, `"false"`: false, `"True"`: true, `" FALSE "`: false,
		`"\u0074rue"`: true,
	} {
		answer, err := haptik.New().Decode(anonymous(), []byte(`{"status": `+status+` ,"response":["x"]}`))
		require.NoError(t, err)
		require.Equal(t, want, answer.Success, status)
		require.Equal(t, []schemas.Message{text("x")}, answer.Messages, "the failure response has messages too")
	}
}

func TestDecode_Refuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, message string }{
		{"no response", `{"status":true}`, "no message"},
		{"null response", `{"response":null}`, "no message"},
		{"empty response", `{"status":true,"response":[]}`, "no message"},
		{"empty text", `{"response":""}`, "no message"},
		{"only blank texts", `{"response":[""," "]}`, "no message"},
		{"empty failure response", `{"status":false,"response":[]}`, "no message"},
		{"only null", `{"response":[null]}`, "no message"},
		{"object without type and text", `{"response":["x",{"a":1}]}`, "response[1].type is missing"},
		{"object with a type that is not a string", `{"response":{"type":1,"data":{}}}`, "response.type is missing"},
		{"nested array", `{"response":["a","b",["x"]]}`, "response[2] is of the type array"},
		{"other spelling", `{"Response":["x"]}`, "no message"},
		{"status text", `{"status":"yes","response":["x"]}`, "status is a text of another meaning"},
		{"status number", `{"status":1,"response":["x"]}`, "status is of the type number"},
		{"conversation_details array", `{"response":["x"],"conversation_details":[]}`, "conversation_details is of the type array"},
		{"user_details text", `{"response":["x"],"user_details":"{}"}`, "user_details is of the type string"},
		{"array", `["x"]`, "not an object"},
		{"empty body", ``, "no text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, err := haptik.New().Decode(full(), []byte(tt.body))
			require.Zero(t, answer)
			require.Equal(t, fault.BadResponse, fault.Of(err).Kind)
			require.ErrorContains(t, err, tt.message)
			require.False(t, fault.Of(err).Retryable())
		})
	}
}

func TestDecode_Stores(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := []struct {
		name, updates            string
		conversation, userUpdate string
		problem                  []string
	}{
		{name: "untouched", updates: ``, conversation: `{"order": "A12", "n": 1.50}`},
		{name: "null does not update", updates: `,"conversation_details":null,"user_details":null`,
			conversation: `{"order": "A12", "n": 1.50}`},
		{name: "merged", updates: `,"conversation_details":{"order":null,"b":{"x":null}},"user_details":{"phone":"1"}`,
			conversation: `{"b":{"x":null},"n":1.50}`, userUpdate: `{"phone":"1"}`},
		// {"n":1.50,"order":"…"} has 21 characters around the value.
		{name: "conversation_details at the limit", updates: `,"conversation_details":{"order":"` + long(2479) + `"}`,
			conversation: `{"n":1.50,"order":"` + long(2479) + `"}`},
		{name: "conversation_details too large",
			updates:      `,"conversation_details":{"order":"` + long(2480) + `","x":1},"user_details":{"phone":"1"}`,
			conversation: `{"order": "A12", "n": 1.50}`, userUpdate: `{"phone":"1"}`,
			problem: []string{"conversation_details", "2500"}},
		// {"city":"पुणे","x":"…"} has 22 characters around the value.
		{name: "user_details at the limit", updates: `,"user_details":{"x":"` + long(178) + `"}`,
			conversation: `{"order": "A12", "n": 1.50}`, userUpdate: `{"x":"` + long(178) + `"}`},
		{name: "user_details too large", updates: `,"conversation_details":{"order":"B"},"user_details":{"x":"` + long(179) + `"}`,
			conversation: `{"n":1.50,"order":"B"}`, problem: []string{"user_details", "201", "200"}},
		{name: "both too large",
			updates:      `,"conversation_details":{"x":"` + long(2500) + `"},"user_details":{"x":"` + long(200) + `"}`,
			conversation: `{"order": "A12", "n": 1.50}`, problem: []string{"conversation_details", "user_details"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, err := haptik.New().Decode(full(), []byte(`{"response":"x"`+tt.updates+`}`))
			require.NoError(t, err)
			require.Equal(t, []schemas.Message{text("x")}, answer.Messages, "messages are delivered in any case")
			require.Equal(t, tt.conversation, string(answer.ConversationDetails))
			require.Equal(t, tt.userUpdate, string(answer.UserDetailsUpdate))
			if tt.problem == nil {
				require.Nil(t, answer.Problem)
				return
			}
			require.Equal(t, fault.TooLarge, answer.Problem.Kind)
			for _, part := range tt.problem {
				require.Contains(t, answer.Problem.Message, part)
			}
			require.NotContains(t, answer.Problem.Message, "é")
		})
	}
}

// TestAnswer_StoresReachTheNextRequest follows the stores over two steps, as a caller does.
func TestAnswer_StoresReachTheNextRequest(t *testing.T) {
	t.Parallel()
	d, c := haptik.New(), anonymous()
	answer, err := d.Decode(c, []byte(`{"response":"x","conversation_details":{"order":"A12"},"user_details":{"name":"Zoë"}}`))
	require.NoError(t, err)
	c.ConversationDetails = answer.ConversationDetails
	c.UserDetails, err = d.MergeUserDetails(c.UserDetails, answer.UserDetailsUpdate)
	require.NoError(t, err)

	request, err := d.Encode(c)
	require.NoError(t, err)
	require.Contains(t, string(request.Body),
		`"conversation_details":{"order":"A12"},"user_details":{"language_code":"en","name":"Zoë"}`)

	c.UserDetails, err = d.MergeUserDetails(c.UserDetails, json.RawMessage(`{"name":null,"language_code":null}`))
	require.NoError(t, err)
	request, err = d.Encode(c)
	require.NoError(t, err)
	require.Contains(t, string(request.Body), `"user_details":{},`, "an emptied store stays empty")
}

func TestDecodeCode(t *testing.T) {
	t.Parallel()
	body := ` {"status":false,"message":"two","hsl":` + button + `,"response":["one"],"total":1e400,` +
		`"conversation_details":{"order":"B"},"user_details":{"phone":"1"}} `
	answer, err := haptik.DecodeCode(full(), []byte(body))
	require.NoError(t, err)
	require.False(t, answer.Success)
	require.Equal(t, []schemas.Message{text("one"), text("two"), hsl(button)}, answer.Messages)
	requireText(t, `{"n":1.50,"order":"B"}`, answer.ConversationDetails)
	requireText(t, `{"phone":"1"}`, answer.UserDetailsUpdate)
	require.Equal(t, strings.TrimSpace(body), string(answer.Output))

	answer, err = haptik.DecodeCode(anonymous(), []byte(`{"total":3}`))
	require.NoError(t, err)
	require.True(t, answer.Success)
	require.Equal(t, []schemas.Message{}, answer.Messages, "a code step may have nothing to say")

	for _, bad := range []string{``, `[]`, `{"status":1}`, `{"message":[[]]}`, `{"hsl":{"data":{}}}`, "{\"a\":\"\xff\"}", `{} {}`} {
		answer, err = haptik.DecodeCode(anonymous(), []byte(bad))
		require.Zero(t, answer)
		require.Equal(t, fault.ScriptBadResponse, fault.Of(err).Kind, bad)
	}
}

// FuzzDecode_Spellings holds that an answer is read or rejected with a place, and that no text of it is one that
// cannot be shown.
func FuzzDecode_Spellings(f *testing.F) {
	for _, seed := range []string{
		`{"response":["a\u0000","\ud83d",1,true,null,` + buttonText + `]}`, `{"status":"False","response":{"type":"FORM"}}`,
		"\uFEFF" + `{"response":[[]]}`, `{"response":"{\"type\":\"A\",\"text\":\"\\ud800\"}"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := haptik.New().Decode(anonymous(), body)
		if err != nil {
			require.Contains(t, []fault.Kind{fault.BadResponse, fault.Encoding}, fault.Of(err).Kind)
			require.NotEmpty(t, fault.Of(err).Message)
			return
		}
		require.NotEmpty(t, answer.Messages)
		for _, m := range answer.Messages {
			require.NotContains(t, m.Text, "\x00")
			require.True(t, utf8.ValidString(m.Text))
			if m.Type == schemas.MessageHSL {
				_, err := strictjson.ReadObject(m.HSL)
				require.NoError(t, err)
			}
		}
	})
}
