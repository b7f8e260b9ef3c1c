package channel_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

func desk() *bot.Channel {
	return &bot.Channel{Code: "desk", Type: bot.ChannelPublic, TokenLocal: "name-of-a-secret"}
}

func TestHTTP_StartParameters(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequest(http.MethodPost, "/exec?a=%ff&b=1&b=2", http.NoBody)
	require.NoError(t, err)
	r.Host = "hooks.example:8443"
	r.Header = http.Header{"X-B": {"1", "2"}, "X-A": {"\xff"}, "Authorization": {"Bearer token"}, "Cookie": {"token"}}
	var run step.ScriptRun
	require.NoError(t, channel.HTTP(&run, desk(), r, []byte("\xff\x00"), netip.MustParseAddr("203.0.113.9")))
	require.Equal(t, []byte("\xff\x00"), run.Body)
	require.Equal(t, 4, run.BodyParam)
	require.Len(t, run.Params, 7)
	require.JSONEq(t, `"POST"`, string(run.Params[1]))
	require.JSONEq(t, `[["Host","hooks.example:8443"],["X-A","\ufffd"],["X-B","1"],["X-B","2"]]`, string(run.Params[4]))
	var event map[string]any
	require.NoError(t, json.Unmarshal(run.Event, &event))
	require.Equal(t, map[string]any{"host": "hooks.example:8443", "x-a": "\ufffd", "x-b": "1, 2"}, event["headers"])
	require.Equal(t, map[string]any{"a": "\ufffd", "b": "2"}, event["queryStringParameters"])
	text, err := json.Marshal(run)
	require.NoError(t, err)
	require.NotContains(t, string(text), "token")
	require.NotContains(t, string(text), "name-of-a-secret")
}

func TestMessage_StartParameters(t *testing.T) {
	t.Parallel()
	var run step.ScriptRun
	require.NoError(t, channel.Message(&run, desk(), map[string]json.RawMessage{"qid": json.RawMessage(`"q"`)}, "gate-1", netip.MustParseAddr("::1")))
	require.Equal(t, "null", string(run.Body))
	require.Len(t, run.Params, 7)
	require.JSONEq(t, `null`, string(run.Params[2]))
	require.False(t, run.BodyData, "a message without data has no member data")
	require.JSONEq(t, `"gate-1"`, string(run.Params[4]))
	require.NoError(t, channel.Start(&run, desk(), []json.RawMessage{}))
	require.Equal(t, "{}", string(run.Body))
	require.NotNil(t, run.Params, "a script without parameters has the function all the same")
}

func TestMessage_EveryMemberReachesTheScript(t *testing.T) {
	t.Parallel()
	var run step.ScriptRun
	ch := desk()
	ch.Opts.Roles, ch.Opts.UserID = []string{"sales"}, "1234567-1b2c"
	require.NoError(t, channel.Message(&run, ch, map[string]json.RawMessage{
		"qid": json.RawMessage(`7`), "data": json.RawMessage(`{"a":1}`), "lang": json.RawMessage(`"de"`),
	}, "gate-1", netip.MustParseAddr("203.0.113.9")))
	require.JSONEq(t, `{"message":{"qid":7,"lang":"de"},"connectionId":"gate-1","sourceIp":"203.0.113.9",
		"roles":["sales"],"userid":"1234567-1b2c"}`, string(run.Event))
	require.JSONEq(t, `{"a":1}`, string(run.Body))
	require.JSONEq(t, `null`, string(run.Params[2]), "the sandbox puts the data here and into the message")
	require.Equal(t, 3, run.BodyParam)
	require.True(t, run.BodyData)
	require.JSONEq(t, `7`, string(run.Params[3]))
	require.NoError(t, channel.Start(&run, ch, nil))
	require.JSONEq(t, `{"roles":["sales"],"userid":"1234567-1b2c"}`, string(run.Event))
	r, err := http.NewRequest(http.MethodPost, "/exec", http.NoBody)
	require.NoError(t, err)
	require.NoError(t, channel.HTTP(&run, ch, r, nil, netip.MustParseAddr("203.0.113.9")))
	var event map[string]any
	require.NoError(t, json.Unmarshal(run.Event, &event))
	require.Equal(t, []any{"sales"}, event["roles"])
	require.Equal(t, "1234567-1b2c", event["userid"])
}

// TestMessage_DataOnce: a message as large as a frame fits into what Temporal keeps, 2 MiB.
func TestMessage_DataOnce(t *testing.T) {
	t.Parallel()
	data := json.RawMessage(`"` + strings.Repeat("<", 1<<20-20) + `"`)
	message := map[string]json.RawMessage{"qid": json.RawMessage(`7`), "data": data}
	var run step.ScriptRun
	require.NoError(t, channel.Message(&run, desk(), message, "gate-1", netip.MustParseAddr("::1")))
	require.Equal(t, string(data), string(run.Body))
	require.Contains(t, message, "data", "the caller's map is not changed")
	text, err := json.Marshal(run)
	require.NoError(t, err)
	require.Less(t, len(text), 3<<19)
}

func TestDecodeHTTP_HeaderValues(t *testing.T) {
	t.Parallel()
	a, err := channel.DecodeHTTP(json.RawMessage(`{"headers":{"Retry-After":120,"X-Ratio":1.50,"X-On":true,"X-None":null,"X-Text":"a"}}`))
	require.NoError(t, err)
	a.Header.Del("Content-Type")
	require.Equal(t, http.Header{"Retry-After": {"120"}, "X-Ratio": {"1.50"}, "X-On": {"true"}, "X-Text": {"a"}}, a.Header)
}

func TestDecodeData(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{"statusCode":200,"body":"{\"a\":1}"}`: `{"a":1}`, `{"body":[1,2]}`: `[1,2]`, `{"body":"no JSON"}`: `"no JSON"`,
		`{"body":""}`: `null`, `{}`: `null`, `{"statusCode":"200"}`: `null`, `{"body":"\"x\""}`: `"x"`, `{"body":"/w==","isBase64Encoded":true}`: `"\ufffd"`,
	} {
		data, err := channel.DecodeData(json.RawMessage(value))
		require.NoError(t, err, value)
		require.JSONEq(t, want, string(data), value)
	}
	for _, value := range []string{
		``, `null`, `7`, `"x"`, `[]`, `{"statusCode":404}`, `{"headers":7}`, `{"headers":{"A":[1]}}`, `{"headers":{"A":{}}}`, `{"headers":{"A":"b\u0000"}}`,
		`{"body":"=","isBase64Encoded":true}`,
	} {
		_, err := channel.DecodeData(json.RawMessage(value))
		require.Equal(t, fault.ScriptBadResponse, fault.Of(err).Kind, value)
	}
}

// FuzzDecodeHTTP holds that no value of a script breaks the answer it becomes: its headers can travel, its status is one.
func FuzzDecodeHTTP(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"A":"b"},"body":"x"}`))
	f.Add([]byte(`{"body":"/w==","isBase64Encoded":true}`))
	f.Add([]byte(`{"headers":{"A\r\nB":"c"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if !json.Valid(value) {
			return // the sandbox gives nothing else
		}
		a, err := channel.DecodeHTTP(value)
		if err != nil {
			require.Equal(t, fault.ScriptBadResponse, fault.Of(err).Kind)
			return
		}
		require.GreaterOrEqual(t, a.Status, 200)
		require.Less(t, a.Status, 600)
		for name, values := range a.Header {
			require.False(t, strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00"))
		}
		require.NotEmpty(t, a.Header.Get("Content-Type"))
	})
}
