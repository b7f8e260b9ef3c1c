package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestWhatAChannelsScriptIsTold runs scripts with start parameters, with a body that is text and with one that is not.
func TestRun_InputOfChannelScript(t *testing.T) {
	s := newSandbox(t)
	j := job(`
def main(event, context):
    return [startparam(1), startparam(2), str(startparam(3)), startparam(4), startparam(0), startparam(-1),
            event["body"], event["isBase64Encoded"], event["httpMethod"], event["headers"]]
`)
	j.Params = []json.RawMessage{[]byte(`{"code":"orders"}`), []byte(`"POST"`), []byte(`null`)}
	j.Event, j.BodyParam = []byte(`{"httpMethod":"POST","headers":{"a":"b"},"body":"forged"}`), 3
	for body, want := range map[string]string{
		"text":  `[{"code":"orders"},"POST","text",null,null,null,"text",false,"POST",{"a":"b"}]`,
		"\xff!": `[{"code":"orders"},"POST","b'\\xff!'",null,null,null,"/yE=",true,"POST",{"a":"b"}]`,
	} {
		j.Body = body
		r, f := s.Run(t.Context(), j)
		require.Nil(t, f, r.Log)
		require.JSONEq(t, want, string(r.Value))
	}
	j = job(`
def main(event, context):
    data, other = startparam(3), event["message"]["data"]
    data["a"].append(7)  # they are not the same object
    return [data, other, event["body"], event["message"]["qid"], startparam(4)]
`)
	j.Params = []json.RawMessage{[]byte(`1`), []byte(`"message"`), []byte(`null`), []byte(`9`)}
	j.Event, j.Body, j.BodyParam, j.BodyData = []byte(`{"message":{"qid":9}}`), `{"a":["ü",1.5]}`, 3, true
	r, f := s.Run(t.Context(), j)
	require.Nil(t, f, r.Log)
	require.JSONEq(t, `[{"a":["ü",1.5,7]},{"a":["ü",1.5]},"{\"a\":[\"ü\",1.5]}",9,9]`, string(r.Value))
	_, f = s.Run(t.Context(), job("def main(e, c): return startparam(1)"))
	require.Equal(t, fault.ScriptException, f.Kind, "a code step has no such function")
}

// TestAScriptAsksItsHost asks by every function of the module hookturn.
func TestRun_HostModule(t *testing.T) {
	s := newSandbox(t)
	asked := map[string]string{}
	host := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		asked[r.URL.Path] = string(body)
		switch r.URL.Path {
		case "/request":
			fmt.Fprint(w, `{"status":201,"headers":{"A":"b"},"body":"eyJhIjoxfQ=="}`)
		case "/send", "/send_ws":
			fmt.Fprint(w, `{"value":{"statusCode":200}}`)
		case "/publish":
			fmt.Fprint(w, `{"id":"n1"}`)
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"kind":"gone","detail":"there is no such connection"}`)
		}
	})
	j := job(`
import hookturn
def main(event, context):
    r = hookturn.request("/x", "POST", channel="orders", headers={"A": "{{token_remote}}"}, body={"n": 1}, timeout=2.5)
    out = [r.status_code, r.headers, r.json(), r.text, r.ok]
    out += [hookturn.send("orders", [1]), hookturn.send_ws("orders", "c-1"), hookturn.publish("a.b", {"x": 1}, object="A1")]
    try:
        hookturn.push("c-1", "paid", 7)
    except hookturn.Error as error:
        out += [error.kind, error.detail, str(error)]
    return out
`)
	j.Host = host
	r, f := s.Run(t.Context(), j)
	require.Nil(t, f, r.Log)
	require.JSONEq(t, `[201,{"A":"b"},{"a":1},"{\"a\":1}",true,{"statusCode":200},{"statusCode":200},"n1",
		"gone","there is no such connection","gone: there is no such connection"]`, string(r.Value))
	require.JSONEq(t, `{"channel":"orders","path":"/x","method":"POST","timeout_ms":2500,"body":"eyJuIjogMX0=",
		"headers":{"A":"{{token_remote}}","Content-Type":"application/json"}}`, asked["/request"])
	require.JSONEq(t, `{"channel":"orders","data":[1]}`, asked["/send"])
	require.JSONEq(t, `{"channel":"orders","connection":"c-1","data":null}`, asked["/send_ws"])
	require.JSONEq(t, `{"connection":"c-1","name":"paid","data":7}`, asked["/push"])
	require.JSONEq(t, `{"event_class":"a.b","data":{"x":1},"object":"A1"}`, asked["/publish"])

	j = job("import hookturn\ndef main(e, c):\n    for n in range(101): hookturn.send('x', 'y' * ((n == 100) << 20))")
	j.Host = host
	r, f = s.Run(t.Context(), j)
	require.Equal(t, fault.ScriptException, f.Kind)
	require.Contains(t, r.Log, "rate_limited: a run calls hookturn at most 100 times")

	j = job("import hookturn\ndef main(e, c): hookturn.put_file('x', 'y' * (8 << 20))")
	j.Host = host
	r, f = s.Run(t.Context(), j)
	require.Equal(t, fault.ScriptException, f.Kind)
	require.Contains(t, r.Log, "too_large: a call of hookturn has at most 2097152 bytes")

	_, f = s.Run(t.Context(), job("import hookturn\ndef main(e, c): return 1"))
	require.Equal(t, fault.ScriptException, f.Kind, "there is no module without a host")
	_, f = s.Run(t.Context(), job(
		"import urllib.request\ndef main(e, c): return urllib.request.urlopen('http://hookturn/send', b'{}').status"))
	require.Equal(t, fault.ScriptException, f.Kind, "nor anything behind its name")
}
