package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// run is a workflow run that returns a configured result.
type run struct {
	client.WorkflowRun
	result step.Result
	err    error
	never  bool
}

func (run) GetID() string    { return "step/default/shop/x/y" }
func (run) GetRunID() string { return "run" }

func (r run) Get(ctx context.Context, into any) error {
	if r.never {
		<-ctx.Done()
		return ctx.Err()
	}
	*into.(*step.Result) = r.result
	return r.err
}

func (r *runs) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	r.started = append(r.started, args[0].(step.Request))
	r.ids = append(r.ids, o.ID+" "+workflow.(string))
	r.timeouts = append(r.timeouts, o.WorkflowRunTimeout)
	return r.script, r.err
}

func (r *runs) CancelWorkflow(_ context.Context, id, _ string) error {
	r.cancelled = append(r.cancelled, id)
	return nil
}

func (d *testGateway) exec(token string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/exec?a=1&a=2", strings.NewReader("<order/>"))
	r.RemoteAddr = "203.0.113.9:1"
	r.Header.Set("Content-Type", "application/xml")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, f := range change {
		f(r)
	}
	return d.do(r)
}

func returns(value string) run {
	return run{result: step.Result{Script: &step.ScriptResult{Value: json.RawMessage(value)}}}
}

func TestExec_AsynchronousChannelAnswersFirst(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.runs.script = run{never: true}
	w := d.exec(tokenOfHook)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var answer struct {
		Accepted bool
		ID       string
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.True(t, answer.Accepted)
	require.Equal(t, []string{"step/default/shop2/channel-hook/" + answer.ID + " Step"}, d.runs.ids)
	s := d.runs.started[0].Script
	require.Equal(t, []string{"hook", "<order/>", "45s"}, []string{s.Plan.Step, string(s.Body), s.Timeout.String()})
	require.Equal(t, 4, s.BodyParam)
	require.True(t, s.Async)
	require.Equal(t, []time.Duration{7 * 24 * time.Hour}, d.runs.timeouts, "it outlives an overload and an outage")
	var params []any
	for _, p := range s.Params {
		var value any
		require.NoError(t, json.Unmarshal(p, &value))
		params = append(params, value)
	}
	require.Equal(t, "hook", params[0].(map[string]any)["code"])
	require.Equal(t, []any{
		"POST", "/exec", nil, []any{[]any{"Content-Type", "application/xml"}, []any{"Host", "example.com"}}, "203.0.113.9", "http",
	}, params[1:])
	require.JSONEq(t, `{"httpMethod":"POST","path":"/exec","rawQueryString":"a=1&a=2","queryStringParameters":{"a":"2"},
		"headers":{"content-type":"application/xml","host":"example.com"},"sourceIp":"203.0.113.9","roles":[],"userid":""}`, string(s.Event))
	require.NotContains(t, string(s.Event), tokenOfHook)
	text, err := json.Marshal(d.runs.started)
	require.NoError(t, err)
	require.NotContains(t, string(text), "token", "a history holds nothing about tokens")
	require.NotContains(t, d.log.String(), tokenOfHook)
}

func TestExec_SynchronousChannelReturnsScriptResponse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value, contentType, body string
		status                   int
	}{
		"xml": {
			`{"statusCode":201,"headers":{"Content-Type":"application/xml","X-A":"b","Content-Length":"7","x-request-id":"mine"},"body":"<ok/>"}`,
			"application/xml", "<ok/>", 201,
		},
		"bytes":     {`{"body":"/wA=","isBase64Encoded":true,"headers":{"content-type":"image/x"}}`, "image/x", "\xff\x00", 200},
		"JSON":      {`{"statusCode":400,"body":{"a":1}}`, "application/json", `{"a":1}`, 400},
		"text":      {`{"statusCode":599,"body":"no"}`, "text/plain; charset=utf-8", "no", 599},
		"no answer": {`{}`, "application/json", "", 200},
		"a page": {
			`{"headers":{"content-type":"text/html","content-security-policy":"default-src *","x-content-type-options":"x"},"body":"<p>"}`,
			"text/html", "<p>", 200,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.script = returns(c.value)
			w := d.exec(tokenOfSync)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.body, w.Body.String())
			require.Equal(t, c.contentType, w.Header().Get("Content-Type"))
			require.Empty(t, w.Header().Get("Content-Length"))
			require.NotEqual(t, "mine", w.Header().Get("X-Request-Id"))
			require.Equal(t, []string{"nosniff"}, w.Header().Values("X-Content-Type-Options"), "whatever the script returns")
			require.Contains(t, w.Header().Values("Content-Security-Policy"), "sandbox", "beside the script's own")
			require.Equal(t, "1s", d.runs.started[0].Script.Timeout.String(), "a caller who waits bounds the script")
			require.False(t, d.runs.started[0].Script.Async)
			require.Equal(t, []time.Duration{5 * time.Minute}, d.runs.timeouts)
		})
	}
}

func TestExec_WhyAChannelDoesNotAnswer(t *testing.T) {
	t.Parallel()
	failed := func(k fault.Kind) run {
		return run{result: step.Result{Script: &step.ScriptResult{Fault: fault.New(k, "secret of the builder")}}}
	}
	for name, c := range map[string]struct {
		script run
		err    error
		token  string
		status int
		kind   fault.Kind
		change func(*http.Request)
	}{
		"no token":        {token: "-", status: 401},
		"wrong token":     {token: "wrong-wrong-wrong-wrong", status: 401},
		"basic":           {status: 401, change: func(r *http.Request) { r.Header.Set("Authorization", "Basic "+tokenOfSync) }},
		"token in query":  {token: "-", status: 401, change: func(r *http.Request) { r.URL.RawQuery = "token=" + tokenOfSync }},
		"outside":         {status: 403, kind: fault.Blocked, change: func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" }},
		"forged":          {status: 403, kind: fault.Blocked, change: func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1"; r.Header.Set("X-Forwarded-For", "203.0.113.9") }},
		"subscriber":      {token: tokenOfFeed, status: 403, kind: fault.Config},
		"wrong method":    {status: 405, change: func(r *http.Request) { r.Method = http.MethodPut }},
		"compressed":      {status: 415, kind: fault.Encoding, change: func(r *http.Request) { r.Header.Set("Content-Encoding", "br") }},
		"too large":       {status: 413, kind: fault.TooLarge, change: func(r *http.Request) { r.Body = http.NoBody; *r = *withBody(r, httpapi.BodyMax+1) }},
		"too slow":        {script: run{never: true}, status: 504, kind: fault.ScriptTimeout},
		"timed out":       {script: failed(fault.ScriptTimeout), status: 504, kind: fault.ScriptTimeout},
		"raised":          {script: failed(fault.ScriptException), status: 500, kind: fault.ScriptException},
		"no sandbox":      {script: failed(fault.SandboxUnavailable), status: 503, kind: fault.SandboxUnavailable},
		"not an object":   {script: returns(`7`), status: 500, kind: fault.ScriptBadResponse},
		"bad status":      {script: returns(`{"statusCode":99}`), status: 500, kind: fault.ScriptBadResponse},
		"status fraction": {script: returns(`{"statusCode":200.5}`), status: 500, kind: fault.ScriptBadResponse},
		"split header":    {script: returns(`{"headers":{"A":"b\r\nC: d"}}`), status: 500, kind: fault.ScriptBadResponse},
		"bad header name": {script: returns(`{"headers":{"A b":"c"}}`), status: 500, kind: fault.ScriptBadResponse},
		"no base64":       {script: returns(`{"body":"%","isBase64Encoded":true}`), status: 500, kind: fault.ScriptBadResponse},
		"Temporal away":   {err: serviceerror.NewUnavailable("10.0.0.7:7233"), status: 503, kind: fault.Internal},
		"too much":        {err: serviceerror.NewInvalidArgument("blob"), status: 413, kind: fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.script, d.runs.err = c.script, c.err
			token := c.token
			switch token {
			case "":
				token = tokenOfSync
			case "-":
				token = ""
			}
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			began := time.Now()
			w := d.exec(token, change)
			requireProblem(t, w, c.status, c.kind, "")
			require.NotContains(t, w.Body.String(), "builder")
			require.NotContains(t, w.Body.String(), "7233")
			require.Less(t, time.Since(began), soon)
			require.Equal(t, c.script.never, len(d.runs.cancelled) == 1, "a run without a waiting request is cancelled")
		})
	}
}

// filesAway are files whose store cannot be reached.
type filesAway struct{ Files }

func (filesAway) Get(context.Context, schemas.BotID, string) (store.File, io.ReadCloser, error) {
	return store.File{}, nil, nats.ErrConnectionClosed
}

// TestExec_RunsOnceForACaller: a caller whose script has run, or may have, is not asked to send the request again, which
// would be another run.
func TestExec_RunsOnceForACaller(t *testing.T) {
	t.Parallel()
	lost := step.Result{Script: &step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown, "the worker was lost")}}
	for name, c := range map[string]struct {
		token  string
		start  error
		script run
		status int
		kind   fault.Kind
		detail string
	}{
		"no answer to the start": {tokenOfSync, serviceerror.NewDeadlineExceeded("slow"), run{}, 504, fault.OutcomeUnknown, "not known"},
		"own deadline":           {tokenOfSync, context.DeadlineExceeded, run{}, 504, fault.OutcomeUnknown, "not known"},
		"asynchronous":           {tokenOfHook, serviceerror.NewDeadlineExceeded("slow"), run{}, 504, fault.OutcomeUnknown, "not known"},
		"end cannot be read":     {tokenOfSync, nil, run{err: serviceerror.NewUnavailable("away")}, 504, fault.OutcomeUnknown, "not known"},
		"terminated":             {tokenOfSync, nil, run{err: errors.New("ended")}, 504, fault.OutcomeUnknown, "shop/x/y"},
		"no result":              {tokenOfSync, nil, run{}, 504, fault.OutcomeUnknown, "shop/x/y"},
		"worker lost":            {tokenOfSync, nil, run{result: lost}, 504, fault.OutcomeUnknown, "the worker was lost"},
		"file cannot be read":    {tokenOfSync, nil, returns(`{"file":"` + uuid.NewString() + `"}`), 500, fault.Internal, "did its work"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.err, d.runs.script, d.Files = c.start, c.script, filesAway{d.Files}
			w := d.exec(c.token)
			p := requireProblem(t, w, c.status, c.kind, c.detail)
			require.Empty(t, w.Header().Get("Retry-After"))
			if c.start != nil {
				require.Contains(t, p.Detail, d.runs.started[0].Script.ID, "the caller learns which run to look for")
			}
			require.Contains(t, d.log.String(), "level=WARN")
		})
	}
}

// TestScripts_ErrorCodes: a call of a WebSocket has the error codes, too.
func TestScripts_ErrorCodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token  string
		start  error
		script run
		bare   bareWorker
		kind   fault.Kind
	}{
		"start not answered":    {tokenOfHook, context.DeadlineExceeded, run{}, bareWorker{}, fault.OutcomeUnknown},
		"too much for Temporal": {tokenOfHook, serviceerror.NewInvalidArgument("blob"), run{}, bareWorker{}, fault.TooLarge},
		"terminated":            {tokenOfHook, nil, run{err: errors.New("terminated")}, bareWorker{}, fault.OutcomeUnknown},
		"no result":             {tokenOfHook, nil, run{}, bareWorker{}, fault.OutcomeUnknown},
		"NATS lost meanwhile":   {tokenOfQuick, nil, run{}, bareWorker{err: nats.ErrDisconnected}, fault.OutcomeUnknown},
		"bad answer":            {tokenOfQuick, nil, run{}, bareWorker{answer: "x"}, fault.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.err, d.runs.script, d.bare = c.start, c.script, c.bare
			ch, known := d.Channels.ByToken(httpapi.DigestOf(c.token))
			require.True(t, known)
			_, err := d.Scripts.Run(t.Context(), ch, "hook", soon, func(*step.ScriptRun) error { return nil })
			var f *fault.Fault
			require.ErrorAs(t, err, &f)
			require.Equal(t, c.kind, f.Kind)
		})
	}
}

func withBody(r *http.Request, size int) *http.Request {
	out := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(strings.Repeat("a", size)))
	out.Header, out.RemoteAddr = r.Header, r.RemoteAddr
	return out
}

func TestExec_GetRunsTheScriptToo(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.runs.script = returns(`{"body":"ok"}`)
	w := d.exec(tokenOfSync, func(r *http.Request) { r.Method = http.MethodGet; r.Body = http.NoBody })
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.JSONEq(t, `"GET"`, string(d.runs.started[0].Script.Params[1]))
}
