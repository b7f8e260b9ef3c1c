package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// scripts is a sandbox that ends as the test asks, and the scripts that there are.
type scripts struct {
	mu        sync.Mutex
	hold      func(context.Context) // what a run waits for
	jobs      []sandbox.Job
	result    sandbox.Result
	fault     *fault.Fault
	asked     int           // for scripts
	full      bool          // no script would run at once
	fullAsync bool          // no script with Async would run at once
	wait      time.Duration // for a script that is not there
	gone      bool          // the step runs another file now
	slots     []sandbox.Job // for which a slot was reserved
	slot      *sandbox.Slot // what they get; nil: none is free
}

func (s *scripts) Reserve(_ context.Context, j sandbox.Job) (*sandbox.Slot, *fault.Fault) {
	s.slots = append(s.slots, j)
	if s.slot == nil {
		return nil, fault.New(fault.SandboxUnavailable, "all slots are in use")
	}
	return s.slot, nil
}

func (s *scripts) Run(ctx context.Context, j sandbox.Job) (sandbox.Result, *fault.Fault) {
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	if s.hold != nil {
		s.hold(ctx)
	}
	return s.result, s.fault
}

func (s *scripts) Free(j sandbox.Job) bool { return !s.full && (!j.Async || !s.fullAsync) }

// Script knows all but "lost"; "late" is known after some time.
func (s *scripts) Script(id string) (string, bool) {
	s.asked++
	return "the text of " + id, id != "lost" && (id != "late" || s.asked > 2)
}

// Latest knows the scripts of all steps, unless they run other files.
func (s *scripts) Latest(bot.Plan) (string, bool) { return "the present text", !s.gone }

func (b *bundle) code(t *testing.T, s *scripts, script string) (step.CodeResult, error) {
	t.Helper()
	return b.codeOn(t, &activities.Code{Activities: b.activities, Scripts: s, Sandbox: s, Host: &scripthost.Host{}, ScriptWait: s.wait}, script)
}

func (b *bundle) codeOn(t *testing.T, code *activities.Code, script string) (step.CodeResult, error) {
	t.Helper()
	code.Register(b.TestActivityEnvironment)
	in := step.WebhookInput{
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "OTP",
			Code: &bot.Code{
				File: "otp.py", Script: script, Timeout: bot.Duration(5 * time.Second),
				Packages: []bot.Package{{Wheel: "toy-1-py3-none-any.whl", SHA256: "e3"}}, Connections: []string{"db.example:5432"},
			},
		},
		Event: schemas.Event{ID: "e1"}, User: schemas.User{ID: "91"}, ConversationDetails: json.RawMessage(`{"visits":1}`),
	}
	if script == "again" {
		in.Event = in.Event.Repeat(1)
	}
	value, err := b.ExecuteActivity(step.ActivityCode, in)
	if err != nil {
		return step.CodeResult{}, err
	}
	var result step.CodeResult
	return result, value.Get(&result)
}

func returns(value string) sandbox.Result {
	return sandbox.Result{Value: []byte(value), Log: "said", Sent: true}
}

func TestCode_ScriptComesLate(t *testing.T) {
	t.Parallel()
	s := &scripts{result: returns(`{"statusCode":200,"body":"{}"}`)}
	_, err := setup(t).code(t, s, "late")
	require.NoError(t, err)
	require.Len(t, s.jobs, 1)
	require.Equal(t, "the text of late", s.jobs[0].Script)
}

// TestCode_ScriptOfAnEarlierProcess: a step that waited while the workers were restarted with another script runs that one.
func TestCode_ScriptOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	s := &scripts{result: returns(`{"statusCode":200,"body":"{}"}`), wait: time.Millisecond}
	_, err := setup(t).code(t, s, "lost")
	require.NoError(t, err)
	require.Equal(t, "the present text", s.jobs[0].Script)
}

// oneChannel is a channel of every bot.
type oneChannel struct{ url string }

func (c oneChannel) ByCode(owner schemas.BotID, code string) (*bot.Channel, bool) {
	return &bot.Channel{BotID: owner, Code: code, URL: c.url}, true
}

// TestCode_ConnectionsBoundRequestsToo: the bot's list is that of requests through the worker, not only of the script's own.
func TestCode_ConnectionsBoundRequestsToo(t *testing.T) {
	t.Parallel()
	b, s := setup(t), &scripts{result: returns(`{"statusCode":200,"body":"{}"}`)}
	host := &scripthost.Host{Channels: oneChannel{"https://orders.example"}}
	_, err := b.codeOn(t, &activities.Code{Activities: b.activities, Scripts: s, Sandbox: s, Host: host}, "id")
	require.NoError(t, err)
	w := httptest.NewRecorder()
	s.jobs[0].Host.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://hookturn/request",
		strings.NewReader(`{"channel":"orders","method":"GET"}`)))
	require.Contains(t, w.Body.String(), "the key connections of this bot does not list orders.example:443")
}

func TestScript_GetsTheVendorsBody(t *testing.T) {
	t.Parallel()
	b, s := setup(t), &scripts{result: returns(`{"statusCode":200,"body":"{\"message\":\"ok\",\"conversation_details\":{\"visits\":2},\"user_details\":{\"seen\":\"x\"}}"}`)}
	b.users["default/91"] = json.RawMessage(`{"city":"Utrecht"}`)
	result, err := b.code(t, s, "id")
	require.NoError(t, err)
	require.Nil(t, result.Fault)
	require.Equal(t, "the text of id", s.jobs[0].Script)
	require.Equal(t, 5*time.Second, s.jobs[0].Timeout)
	require.Equal(t, "e1", s.jobs[0].EventID)
	require.Equal(t, []sandbox.Wheel{{File: "toy-1-py3-none-any.whl", SHA256: "e3"}}, s.jobs[0].Packages)
	require.Equal(t, []string{"db.example:5432"}, s.jobs[0].Connections)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.jobs[0].Body), &body))
	require.Equal(t, map[string]any{"visits": 1.0}, body["conversation_details"])
	require.Equal(t, map[string]any{"city": "Utrecht"}, body["user_details"])
	require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	require.JSONEq(t, `{"visits":2}`, string(result.ConversationDetails))
	require.JSONEq(t, `{"city":"Utrecht","seen":"x"}`, string(b.users["default/91"]))
	require.Contains(t, string(result.Output), "message")
	require.Equal(t, "said", result.Log)
	require.Equal(t, "script:otp.py", result.Attempts[0].URL)
}

// TestCode_RepeatedStep: a script sends the id along as an idempotency key, which is that of the first time.
func TestCode_RepeatedStep(t *testing.T) {
	t.Parallel()
	b, s := setup(t), &scripts{result: returns(`{"statusCode":200,"body":"{}"}`)}
	_, err := b.code(t, s, "again")
	require.NoError(t, err)
	require.Equal(t, "e1", s.jobs[0].EventID)
}

// TestCode_StoresAreKeptWithStatusFalse: the script itself reports that the step failed.
func TestCode_StoresAreKeptWithStatusFalse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &scripts{result: returns(`{"statusCode":200,"body":"{\"status\":false,\"user_details\":{\"seen\":1},\"conversation_details\":{\"left\":2}}"}`)}
	result, err := b.code(t, s, "id")
	require.NoError(t, err)
	require.False(t, result.Success)
	require.JSONEq(t, `{"seen":1,"name":"Guest User","language_code":"en"}`, string(result.UserDetails))
	require.JSONEq(t, `{"visits":1,"left":2}`, string(result.ConversationDetails))
}

func TestCode_StoresAreKeptAfterSuccessOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &scripts{result: returns(`{"statusCode":500,"body":"{\"user_details\":{\"seen\":\"x\"}}"}`)}
	result, err := b.code(t, s, "id")
	require.NoError(t, err)
	require.Equal(t, fault.ScriptBadResponse, result.Fault.Kind)
	require.Empty(t, b.users)
	require.Equal(t, "script_bad_response", result.Attempts[0].Error)
}

func TestCode_WhatMainMayReturn(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"nothing": `null`, "a list": `[]`, "no status": `{"body":"{}"}`, "a text status": `{"statusCode":"x","body":"{}"}`,
		"no body": `{"statusCode":200}`, "an object body": `{"statusCode":200,"body":{}}`, "no JSON": `{"statusCode":200,"body":"x"}`,
		"a list body": `{"statusCode":200,"body":"[]"}`, "a wrong status": `{"statusCode":200,"body":"{\"status\":1}"}`,
		"deep": `{"statusCode":200,"body":"{\"a\":` + nested(100) + `}"}`,
	} {
		b := setup(t)
		result, err := b.code(t, &scripts{result: returns(value)}, "id")
		require.NoError(t, err, name)
		require.NotNil(t, result.Fault, name)
		require.Equal(t, fault.ScriptBadResponse, result.Fault.Kind, name)
	}
}

// TestCode_AnswerOfManyElements: what no reply can hold is the end of the step, however small what main returned was.
func TestCode_AnswerOfManyElements(t *testing.T) {
	t.Parallel()
	value := `{"statusCode":200,"body":"{\"message\":[` + strings.Repeat("1,", 100_000) + `1]}"}`
	result, err := setup(t).code(t, &scripts{result: returns(value)}, "id")
	require.NoError(t, err)
	require.Equal(t, fault.TooLarge, result.Fault.Kind)
	require.Empty(t, result.Messages)
}

func nested(depth int) string {
	text := "1"
	for range depth {
		text = "[" + text + "]"
	}
	return text
}

func TestScripts_FailureIsAResult(t *testing.T) {
	t.Parallel()
	s := &scripts{result: sandbox.Result{Log: "Traceback", Sent: true}, fault: fault.New(fault.ScriptException, "KeyError: 'x'")}
	result, err := setup(t).code(t, s, "id")
	require.NoError(t, err)
	require.Equal(t, fault.ScriptException, result.Fault.Kind)
	require.Equal(t, "Traceback", result.Log)
}

func TestRunCode_RetriesOnlyBeforeTheScript(t *testing.T) {
	t.Parallel()
	var app *temporal.ApplicationError
	_, err := setup(t).code(t, &scripts{fault: fault.New(fault.SandboxUnavailable, "none")}, "id")
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Equal(t, "sandbox_unavailable", app.Type())

	result, err := setup(t).code(t, &scripts{
		result: sandbox.Result{Sent: true}, fault: fault.New(fault.OutcomeUnknown, "stopped"),
	}, "id")
	require.NoError(t, err)
	require.Equal(t, fault.OutcomeUnknown, result.Fault.Kind)

	s := &scripts{wait: 50 * time.Millisecond, gone: true}
	_, err = setup(t).code(t, s, "lost")
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable(), "the starter may have loaded its bot file before this worker does")
	require.Equal(t, "config", app.Type())

	b := setup(t)
	b.broken = errors.New("away")
	_, err = b.code(t, s, "id")
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Empty(t, s.jobs)
}

// TestRunCode_RepetitionJoinsTheScript: the server lost the activity while its script ran, and also its context's end and a
// failed heartbeat do not stop the script.
func TestRunCode_RepetitionJoinsTheScript(t *testing.T) {
	t.Parallel()
	b, asked, open := setup(t), make(chan struct{}), make(chan struct{})
	ctx, end := context.WithCancelCause(context.Background())
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	s := &scripts{result: returns(`{"statusCode":200,"body":"{\"message\":\"ok\"}"}`)}
	s.hold = func(ctx context.Context) {
		close(asked)
		select {
		case <-open:
		case <-ctx.Done():
			t.Error("the script was stopped")
		}
	}
	code := &activities.Code{Activities: b.activities, Scripts: s, Sandbox: s, Host: &scripthost.Host{}}
	first := make(chan error, 1)
	go func() {
		_, err := b.codeOn(t, code, "id")
		first <- err
	}()
	<-asked
	end(context.DeadlineExceeded)
	var suite testsuite.WorkflowTestSuite
	other := &bundle{TestActivityEnvironment: suite.NewTestActivityEnvironment().SetTestTimeout(time.Minute), activities: b.activities}
	other.SetHeartbeatDetails(step.Progress{Running: &schemas.Attempt{N: 1}})
	go close(open)
	result, err := other.codeOn(t, code, "id")
	require.NoError(t, err)
	require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	require.NoError(t, <-first)
	require.Len(t, s.jobs, 1)
}

// TestRunCode_NeverTwice: in another process than the one that may have begun with it, a script is not run.
func TestRunCode_NeverTwice(t *testing.T) {
	t.Parallel()
	s := &scripts{result: returns(`{"statusCode":200,"body":"{}"}`)}
	b := setup(t)
	b.SetHeartbeatDetails(step.Progress{Running: &schemas.Attempt{N: 1}})
	_, err := b.code(t, s, "id")
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.True(t, app.NonRetryable())
	require.Equal(t, "outcome_unknown", app.Type())
	require.Empty(t, s.jobs)
	var lost step.Progress
	require.NoError(t, app.Details(&lost))
	require.Equal(t, &schemas.Attempt{N: 1}, lost.Running, "the reply has the attempt")

	b = setup(t)
	b.SetHeartbeatDetails(step.Progress{NotBegun: true})
	_, err = b.code(t, s, "id")
	require.NoError(t, err, "the try before found no sandbox")
	require.Len(t, s.jobs, 1)
}

// TestRunCode_HeartbeatFails: the server may have stored the heartbeat whose call failed. The script is not begun, and the
// next try may begin it.
func TestRunCode_HeartbeatFails(t *testing.T) {
	t.Parallel()
	b, s := setup(t), &scripts{result: returns(`{"statusCode":200,"body":"{}"}`)}
	b.beat = func(n int) error {
		if n == 1 {
			return context.DeadlineExceeded // a server that does not answer; the SDK leaves the activity's context
		}
		return nil
	}
	_, err := b.code(t, s, "id")
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Empty(t, s.jobs)
	require.Len(t, b.beats, 2)

	next := setup(t)
	next.SetHeartbeatDetails(b.beats[1])
	_, err = next.code(t, s, "id")
	require.NoError(t, err)
	require.Len(t, s.jobs, 1)
	require.Len(t, next.beats, 1)
	require.NotNil(t, next.beats[0].Running)
}

// TestRunCode_LastHeartbeat: the SDK sends no heartbeat after the activity's context, which ends when one has failed.
func TestRunCode_LastHeartbeat(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]int{context.DeadlineExceeded: 2, temporal.NewCanceledError(): 1} {
		b, s := setup(t), &scripts{fault: fault.New(fault.SandboxUnavailable, "none")}
		ctx, end := context.WithCancelCause(context.Background())
		b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
		s.hold = func(context.Context) { end(cause) }
		_, err := b.code(t, s, "id")
		require.Error(t, err)
		require.Len(t, b.beats, want, cause)
		require.Equal(t, want == 2, b.beats[want-1].NotBegun, cause)
	}
}
