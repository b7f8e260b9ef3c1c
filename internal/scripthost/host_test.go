package scripthost_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// around is a host whose neighbours are replaced, and what it did to them.
type around struct {
	host *scripthost.Host

	requests []egress.Request
	answer   *egress.Response
	jobs     []sandbox.Job
	fault    *fault.Fault
	notices  []string
	asks     []string
	pushed   string
}

type store struct{ *bot.Set }

func (s store) Current() *bot.Set { return s.Set }

func (s store) Secrets(id schemas.BotID, _, name string) ([]secret.Value, error) {
	if b, ok := s.Bot(id); ok {
		if values, ok := b.Secrets(name); ok {
			return values, nil
		}
	}
	return nil, errors.New("not here")
}

func (s store) ByCode(owner schemas.BotID, code string) (*bot.Channel, bool) {
	b, ok := s.Bot(owner)
	if !ok {
		return nil, false
	}
	return b.Channel(code)
}

func (store) Script(string) (string, bool) { return "def main(event, context): pass", true }

func (a *around) Do(_ context.Context, r egress.Request) (*egress.Response, schemas.Attempt, error) {
	a.requests = append(a.requests, r)
	if a.fault != nil {
		return nil, schemas.Attempt{}, a.fault
	}
	return a.answer, schemas.Attempt{Status: a.answer.Status}, nil
}

func (a *around) Run(_ context.Context, j sandbox.Job) (sandbox.Result, *fault.Fault) {
	a.jobs = append(a.jobs, j)
	return sandbox.Result{Value: []byte(`{"statusCode":200}`)}, a.fault
}

func (a *around) Notify(owner schemas.BotID, class string, notice []byte) error {
	a.notices = append(a.notices, owner.Tenant+"/"+owner.Bot+"/"+class+" "+string(notice))
	return nil
}

func (a *around) Request(_ context.Context, address string, request []byte) ([]byte, error) {
	a.asks = append(a.asks, address+" "+string(request))
	return []byte(a.pushed), nil
}

const file = `
bot: NAME
absolute_urls: ABSOLUTE
secrets: {remote: {env: REMOTE}}
scripts: {out: {file: out.py, timeout: 5s}}
channels:
  - {code: orders, type: public, token_remote: remote, url: "https://orders.example/api", send_svcscriptcode: out, send_svcscriptcode_ws: out}
  - {code: bare, type: public}
  - {code: feed, type: subscriber, send_svcscriptcode: out}
`

func start(t *testing.T, lines ...string) *around {
	t.Helper()
	dir := t.TempDir()
	for name, absolute := range map[string]string{"shop": "true", "strict": "false"} {
		text := strings.NewReplacer("NAME", name, "ABSOLUTE", absolute).Replace(file) + strings.Join(lines, "")
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "out.py"), []byte("def main(event, context): pass"), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, LookupEnv: func(string) (string, bool) { return "token-of-the-far-end", true }})
	require.NoError(t, err)
	a := &around{answer: &egress.Response{Status: 404, Header: http.Header{"X-A": {"b", "c"}}, Body: []byte("no")}}
	s := store{set}
	a.host = &scripthost.Host{
		Bots: s, Channels: s, Scripts: s, HTTP: a, Sandbox: a, PubSub: a, Log: slog.New(slog.DiscardHandler),
	}
	return a
}

func (a *around) ask(t *testing.T, h http.Handler, path, question string) (int, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://hookturn/"+path, strings.NewReader(question)))
	var said map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &said), w.Body)
	return w.Code, said
}

func runOf(name, channel string) scripthost.Run {
	return scripthost.Run{BotID: schemas.BotID{Tenant: "default", Bot: name}, Step: "S", EventID: "e1", Channel: channel, Until: time.Now().Add(time.Minute)}
}

func TestHost_RequestsGoToTheFarEnd(t *testing.T) {
	t.Parallel()
	a := start(t)
	h := a.host.Handler(runOf("shop", "orders"))
	status, said := a.ask(t, h, "request",
		`{"path":"/v1/a?b=c","method":"PUT","headers":{"Authorization":"Bearer {{token_remote}}"},"body":"`+
			base64.StdEncoding.EncodeToString([]byte("x"))+`","timeout_ms":2500}`)
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{
		"status": 404.0, "headers": map[string]any{"X-A": "b, c"}, "body": base64.StdEncoding.EncodeToString([]byte("no")),
	}, said, "a 404 is an answer")
	r := a.requests[0]
	require.Equal(t, []string{"PUT", "https://orders.example/api/v1/a?b=c", "x", "Bearer token-of-the-far-end", "2.5s"},
		[]string{r.Method, r.URL, string(r.Body), r.Header.Get("Authorization"), r.Timeout.String()})

	for _, method := range []string{"GET", "POST", "HEAD", "DELETE"} {
		status, _ = a.ask(t, h, "request", `{"method":"`+method+`"}`)
		require.Equal(t, 200, status)
	}
	require.Equal(t, "https://orders.example/api", a.requests[1].URL)
	status, _ = a.ask(t, h, "request", `{"method":"GET","path":"https://elsewhere.example/x"}`)
	require.Equal(t, 200, status)
	status, _ = a.ask(t, h, "request", `{"method":"GET","path":"https://orders.example/x","headers":{"A":"{{token_remote}}"}}`)
	require.Equal(t, 200, status)
	require.Equal(t, "token-of-the-far-end", a.requests[6].Header.Get("A"), "by a whole URL it is the far end all the same")
}

func TestHost_RequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bot, channel, question string
		kind, detail           string
	}{
		"no JSON":          {"shop", "orders", `{`, "bad_event", "cannot read"},
		"no channel":       {"shop", "", `{"method":"GET"}`, "config", "for no channel"},
		"unknown channel":  {"shop", "", `{"method":"GET","channel":"x"}`, "config", `no channel "x"`},
		"no url":           {"shop", "bare", `{"method":"GET","path":"/a"}`, "config", "has no url"},
		"method":           {"shop", "orders", `{"method":"PATCH"}`, "config", "GET, POST, PUT, HEAD or DELETE"},
		"up":               {"shop", "orders", `{"method":"GET","path":"/../a"}`, "config", ".. segments"},
		"absolute":         {"strict", "orders", `{"method":"GET","path":"https://orders.example/x"}`, "blocked", "forbids whole URLs"},
		"other's token":    {"shop", "orders", `{"method":"GET","path":"https://evil.example/","headers":{"A":"{{token_remote}}"}}`, "blocked", "own url only"},
		"another port":     {"shop", "orders", `{"method":"GET","path":"https://orders.example:8443/","headers":{"A":"{{token_remote}}"}}`, "blocked", "own url only"},
		"plain http":       {"shop", "orders", `{"method":"GET","path":"http://orders.example/","headers":{"A":"{{token_remote}}"}}`, "blocked", "own url only"},
		"no second token":  {"shop", "orders", `{"method":"GET","headers":{"A":"{{token_remote2}}"}}`, "config", "has no value for {{token_remote2}}"},
		"header split":     {"shop", "orders", `{"method":"GET","headers":{"A":"b\r\nC: d"}}`, "config", "contains a line end"},
		"another's header": {"shop", "orders", `{"method":"GET","headers":{"host":"x"}}`, "config", "header \"host\" of the request is reserved"},
		"unknown bot":      {"gone", "orders", `{"method":"GET"}`, "config", "no channel"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			status, said := a.ask(t, a.host.Handler(runOf(c.bot, c.channel)), "request", c.question)
			require.Equal(t, 422, status)
			require.Equal(t, c.kind, said["kind"])
			require.Contains(t, said["detail"], c.detail)
			require.Empty(t, a.requests)
		})
	}
	a := start(t)
	a.fault = fault.New(fault.Blocked, "the address is not public")
	_, said := a.ask(t, a.host.Handler(runOf("shop", "orders")), "request", `{"method":"GET"}`)
	require.Equal(t, map[string]any{"kind": "blocked", "detail": "the address is not public"}, said)
}

// TestHost_ConnectionsOfTheBot: requests through the worker keep to the list that the script's own connections keep to.
func TestHost_ConnectionsOfTheBot(t *testing.T) {
	t.Parallel()
	const below, elsewhere = `{"method":"GET","path":"/a"}`, `{"method":"GET","path":"https://Elsewhere.example/a"}`
	for name, c := range map[string]struct {
		list     []string
		question string
		allowed  bool
	}{
		"no list":                    {nil, below, true},
		"empty list":                 {[]string{}, below, false},
		"empty list, whole URL":      {[]string{}, elsewhere, false},
		"host":                       {[]string{"orders.example"}, below, true},
		"host and port":              {[]string{"orders.example:443"}, below, true},
		"another port":               {[]string{"orders.example:8443"}, below, false},
		"whole URL":                  {[]string{"elsewhere.example:443"}, elsewhere, true},
		"whole URL of another host":  {[]string{"orders.example"}, elsewhere, false},
		"whole URL over plain http":  {[]string{"a.example:443"}, `{"method":"GET","path":"http://a.example/"}`, false},
		"plain http, listed":         {[]string{"a.example:80"}, `{"method":"GET","path":"http://a.example/"}`, true},
		"whole URL with a port":      {[]string{"a.example:8443"}, `{"method":"GET","path":"https://a.example:8443/"}`, true},
		"whole URL without a scheme": {[]string{"orders.example"}, `{"method":"GET","path":"//elsewhere.example/a"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			run := runOf("shop", "orders")
			run.Connections = c.list
			status, said := a.ask(t, a.host.Handler(run), "request", c.question)
			if c.allowed {
				require.Equal(t, 200, status, said)
				require.Len(t, a.requests, 1)
				return
			}
			require.Equal(t, "blocked", said["kind"])
			require.Contains(t, said["detail"], "the key connections of this bot does not list")
			require.Empty(t, a.requests)
		})
	}
}

// TestHost_ConnectionsOfNestedScripts: a script by which another sends has the list of its bot too.
func TestHost_ConnectionsOfNestedScripts(t *testing.T) {
	t.Parallel()
	a := start(t, "connections: [elsewhere.example]\n")
	status, _ := a.ask(t, a.host.Handler(runOf("shop", "")), "send", `{"channel":"orders"}`)
	require.Equal(t, 200, status)
	require.Equal(t, []string{"elsewhere.example"}, a.jobs[0].Connections)
	_, said := a.ask(t, a.jobs[0].Host, "request", `{"method":"GET"}`)
	require.Equal(t, "blocked", said["kind"])
	require.Empty(t, a.requests)
}

func TestHost_LargeHeaders(t *testing.T) {
	t.Parallel()
	a := start(t)
	headers := strings.Repeat(`"a":"b",`, 10_000) + `"a":"b"`
	_, said := a.ask(t, a.host.Handler(runOf("shop", "orders")), "request", `{"method":"GET","headers":{`+headers+`}}`)
	require.Equal(t, "too_large", said["kind"])
	require.Empty(t, a.requests)
}

func TestHost_ScriptSends(t *testing.T) {
	t.Parallel()
	a := start(t)
	h := a.host.Handler(runOf("shop", ""))
	status, said := a.ask(t, h, "send", `{"channel":"orders","data":{"n":1}}`)
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"value": map[string]any{"statusCode": 200.0}}, said)
	j := a.jobs[0]
	require.Equal(t, []string{"default", "shop", "out", "e1", `{"n":1}`}, []string{j.Tenant, j.Bot, j.Step, j.EventID, j.Body})
	require.LessOrEqual(t, j.Timeout, 5*time.Second)
	require.JSONEq(t, `{"roles":[],"userid":""}`, string(j.Event), "as of every script of the channel")
	require.Len(t, j.Params, 4)
	require.JSONEq(t, `"send"`, string(j.Params[1]))
	require.JSONEq(t, `{"n":1}`, string(j.Params[2]))
	require.NotContains(t, string(j.Params[0]), "token")

	status, said = a.ask(t, j.Host, "send", `{"channel":"orders"}`)
	require.Equal(t, 422, status)
	require.Contains(t, said["detail"], "cannot send for another")
	status, _ = a.ask(t, j.Host, "request", `{"method":"POST"}`)
	require.Equal(t, 200, status, "it runs for the channel that it sends to")
	require.Equal(t, "https://orders.example/api", a.requests[0].URL)

	status, _ = a.ask(t, h, "send_ws", `{"channel":"orders","connection":"abc-1","data":2}`)
	require.Equal(t, 200, status)
	require.JSONEq(t, `"send_ws"`, string(a.jobs[1].Params[1]))
	require.JSONEq(t, `"abc-1"`, string(a.jobs[1].Params[3]))
	for _, channel := range []string{"bare", "feed", "gone", ""} {
		status, said = a.ask(t, h, "send", `{"channel":"`+channel+`"}`)
		require.Equal(t, 422, status)
		require.Equal(t, "config", said["kind"])
	}
	a.fault = fault.New(fault.ScriptException, "it raised")
	_, said = a.ask(t, h, "send", `{"channel":"orders"}`)
	require.Equal(t, map[string]any{"kind": "script_exception", "detail": "it raised"}, said)
}

func TestHost_PushesAndNotifies(t *testing.T) {
	t.Parallel()
	a := start(t)
	h := a.host.Handler(runOf("shop", "orders"))
	a.pushed = `{"delivered":true}`
	status, _ := a.ask(t, h, "push", `{"connection":"abc-1","name":"paid","data":1}`)
	require.Equal(t, 200, status)
	require.Equal(t, []string{`abc {"tenant":"default","bot":"shop","connection":"abc-1","name":"paid","data":1}`}, a.asks)
	a.pushed = `{"delivered":false,"reason":"there is no such connection"}`
	_, said := a.ask(t, h, "push", `{"connection":"abc-1","name":"paid"}`)
	require.Equal(t, map[string]any{"kind": "gone", "detail": "there is no such connection"}, said)
	for _, connection := range []string{"", "abc", "a.b-1", "*-1", ">-1"} {
		_, said = a.ask(t, h, "push", `{"connection":"`+connection+`","name":"paid"}`)
		require.Equal(t, "gone", said["kind"], connection)
	}
	_, said = a.ask(t, h, "push", `{"connection":"abc-1","name":"not a name"}`)
	require.Equal(t, "bad_event", said["kind"])

	status, said = a.ask(t, h, "publish", `{"event_class":"orders.paid","object":"A1","data":{"x":1}}`)
	require.Equal(t, 200, status)
	require.Len(t, a.notices, 1)
	require.True(t, strings.HasPrefix(a.notices[0], "default/shop/orders.paid {"))
	require.Contains(t, a.notices[0], said["id"])
	for _, class := range []string{"hookturn", "hookturn.step.ended"} {
		_, said = a.ask(t, h, "publish", `{"event_class":"`+class+`"}`)
		require.Equal(t, "bad_event", said["kind"], "a class of hookturn's own")
	}
	require.Len(t, a.notices, 1)
	_, said = a.ask(t, h, "publish", `{"event_class":"orders.*"}`)
	require.Equal(t, "bad_event", said["kind"])
}
