package e2e

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// recordings is the variable that makes TestRecord_Histories write; "make histories" sets it to a folder of
// workflows/testdata/histories. Without it the test checks that every scenario can still be recorded.
const recordings = "HOOKTURN_RECORD"

const recordedBot = `bot: recorded
base_urls: {test: %[1]q}
bot_break: {default: "Sorry."}
idle_timeout: 2s
steps:
  ORDER: {requires: [product], webhook: {path: /orders}}
  PLAIN: {webhook: {path: /orders}}
  DONE: {end_step: true, webhook: {path: /orders}}
  FLAKY: {webhook: {path: /flaky, retry: {initial: 10ms}}}
  BROKEN: {webhook: {path: /broken, retry: {max_attempts: 2, initial: 10ms}}}
  SLOW: {webhook: {path: /held}}
  NORMAL: {webhook: {path: /orders, execution: activity}}
  PROGRESS: {webhook: {path: "/slow?ms=500", progress_after: 100ms, progress_message: {default: "Wait."}}}
  LATE: {webhook: {path: "/slow?ms=1500", timeout: 1s, attempt_timeout: 5s, late_answer: publish}}
  LATER: {webhook: {dialect: plain, path: "/plain/later?ms=100"}}
  EARLY: {webhook: {dialect: plain, path: /early, timeout: 10m, attempt_timeout: 30s, retry: {max_attempts: 1}}}
  FAILS: {webhook: {dialect: plain, path: /fails}}
  FORGOTTEN: {webhook: {dialect: plain, path: /forgotten, timeout: 1s}}
  AREA: {webhook: {dialect: loyjoy, path: /loyjoy/area, params: {city: "${city}"}}}
  NOTIFY: {webhook: {dialect: loyjoy, path: /loyjoy/notify, mode: background}}
  HELD: {webhook: {dialect: loyjoy, path: /until-cancelled, mode: background}}
  REFUSED: {webhook: {path: /refused, retry: {max_attempts: 1}, limits: {trip_after: 1, open_for: 1m}}}
  WAITS: {webhook: {path: /paused, timeout: 5s}}
  CODE: {code: {file: code.py}}
  RAISES: {code: {file: raises.py}}
secrets: {channel: {file: channel-token}}
scripts: {answers: {file: code.py}, raises: {file: raises.py}}
channels:
  - {code: hall, type: public, token_local: channel, recv_svcscriptcode: answers, recv_svcscriptcode_ws: raises, opts: {issync: true, recv_timeout: 60}}
adapters:
  bot: {account: "1", is_bot: true, message_endpoint: {url: "%[1]s/twoway/messages"}}
  agents:
    account: "1"
    message_endpoint: {url: "%[1]s/twoway/messages"}
    handover_endpoint: {url: "%[1]s/twoway/handover"}
`

// patientBot has no conversation that ends before a test cancels it.
const patientBot = `bot: patient
idle_timeout: 10m
base_urls: {test: %q}
steps: {ORDER: {requires: [product], webhook: {path: /orders}}}
`

const freeBot = `bot: free
ordering: none
base_urls: {test: %q}
steps: {PLAIN: {webhook: {path: /orders}}}
`

// recordedScripts are files beside the bot files.
var recordedScripts = map[string]string{
	"code.py":   "def main(event, context):\n    return {'statusCode': 200, 'body': '{\"response\": [\"Done.\"]}'}\n",
	"raises.py": "def main(event, context):\n    raise ValueError('for the builder')\n", "channel-token": "token-of-the-recorded-channel",
}

// continueAfter is the number of history events after which the recording server suggests to continue as new.
const continueAfter = 40

const product = `{"entities":{"product":[{"detection":"message","original_text":"x","entity_value":"x"}]}}`

// scenarios are the paths through the workflows whose histories are kept: one Conversation each, of which the latest run is
// recorded.
func scenarios() map[string][]struct{ eventType, data string } {
	requested := func(name string) struct{ eventType, data string } {
		return struct{ eventType, data string }{schemas.TypeStepRequested, fmt.Sprintf(`{"step":%q}`, name)}
	}
	collected := struct{ eventType, data string }{schemas.TypeEntitiesCollected, product}
	ended := struct{ eventType, data string }{schemas.TypeConversationEnded, `{"reason":"left"}`}
	message := struct{ eventType, data string }{schemas.TypeMessageReceived, `{"message":{"type":"text","text":"hello"}}`}
	handover := struct{ eventType, data string }{schemas.TypeConversationHandover, `{"context":{"why":"asked"}}`}
	type events = []struct{ eventType, data string }
	return map[string]events{
		"success":        {requested("PLAIN"), requested("PLAIN")},
		"waiting":        {requested("ORDER"), collected},
		"cancelled":      {requested("ORDER"), requested("PLAIN")},
		"expired-idle":   {requested("ORDER")},
		"ended":          {requested("ORDER"), ended},
		"completed":      {requested("DONE")},
		"retried":        {requested("FLAKY")},
		"bot-break":      {requested("BROKEN")},
		"unknown-step":   {requested("UNKNOWN")},
		"slow-heartbeat": {requested("SLOW")},
		"activity":       {requested("NORMAL")},
		"progress":       {requested("PROGRESS")},
		"late-answer":    {requested("LATE"), requested("PLAIN")},
		"called-back":    {requested("LATER")},
		"called-early":   {requested("EARLY")},
		"never-called":   {requested("FORGOTTEN")},
		"handed-over":    {requested("FAILS")},
		"variables":      {requested("AREA"), requested("AREA")},
		"background":     {requested("NOTIFY"), requested("PLAIN")},
		"circuit-open":   {requested("REFUSED"), requested("REFUSED")},
		"paused":         {requested("WAITS")},
		"adapters":       {message, handover, message},
		"code":           {requested("CODE"), requested("RAISES")},
	}
}

func TestRecord_Histories(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	samples.Handle("/flaky", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("hookturn-attempt") != "3" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		ok(w, r)
	})
	samples.Handle("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	samples.Handle("/held", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(4 * time.Second): // longer than a workflow task: it heartbeats
			ok(w, r)
		case <-r.Context().Done():
		}
	})
	samples.Handle("/forgotten", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	samples.Handle("/early", func(w http.ResponseWriter, r *http.Request) { // calls back, and then fails
		request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.Header.Get("Hookturn-Callback"),
			strings.NewReader(`{"messages":["Called back."]}`))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "application/json")
		status, _, text, err := send(request)
		if err != nil || status != http.StatusAccepted {
			http.Error(w, fmt.Sprintf("the callback was answered with %d %s: %v", status, text, err), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	var held atomic.Int32
	samples.Handle("/until-cancelled", func(_ http.ResponseWriter, r *http.Request) { // the first request ends with its run
		if held.Add(1) == 1 {
			<-r.Context().Done()
		}
	})
	samples.Handle("/fails", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":false,"messages":["I connect you with a person."],"conversation":"handover"}`)
	})
	samples.Handle("/refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	samples.Handle("/paused", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("hookturn-attempt") == "1" {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		ok(w, r)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "recorded.yaml"), fmt.Appendf(nil, recordedBot, samples.URL()), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "free.yaml"), fmt.Appendf(nil, freeBot, samples.URL()), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "patient.yaml"), fmt.Appendf(nil, patientBot, samples.URL()), 0o600))
	for name, text := range recordedScripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	s, e := startWith(t, stack.Options{
		Bots: dir, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0"}, Code: true,
		DynamicConfig: map[string]any{"limit.historyCount.suggestContinueAsNew": continueAfter},
	})
	c, err := client.Dial(client.Options{HostPort: s.Temporal.Addr()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for name, events := range scenarios() { // all at once: what takes time is the wait until they are idle
		for i, event := range events {
			e.publish(t, "recorded", name, fmt.Sprintf("%s-%d", name, i), event.eventType, event.data)
		}
	}

	t.Run("side-by-side", func(t *testing.T) {
		t.Parallel()
		e.publish(t, "free", "alone", "alone-0", schemas.TypeStepRequested, `{"step":"PLAIN"}`)
		e.replied(t, "free", "alone", 1)
		id := step.ID(schemas.BotID{Tenant: "default", Bot: "free"}.WithConversation("alone"), "alone-0")
		require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
		save(t, "side-by-side", history(t, c, id, ""))
	})
	t.Run("continued", func(t *testing.T) {
		t.Parallel()
		for i := range continueAfter {
			e.publish(t, "recorded", "continued", fmt.Sprintf("continued-%d", i), schemas.TypeStepRequested, `{"step":"PLAIN"}`)
		}
		replies := e.replied(t, "recorded", "continued", continueAfter)
		first, last := replies[0].Workflow, replies[continueAfter-1].Workflow
		require.NotEqual(t, first.RunID, last.RunID)
		save(t, "continued", history(t, c, first.ID, first.RunID))
	})
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		for i := range 3 {
			e.publish(t, "recorded", "queue", fmt.Sprintf("queue-%d", i), schemas.TypeStepRequested, `{"step":"NOTIFY"}`)
		}
		id := step.QueueID(schemas.BotID{Tenant: "default", Bot: "recorded"}, "NOTIFY")
		e.replied(t, "recorded", "queue", 3)
		require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
		save(t, "queue", history(t, c, id, ""))
	})
	t.Run("queue-cancelled", func(t *testing.T) {
		t.Parallel()
		for i := range 2 {
			e.publish(t, "recorded", "held", fmt.Sprintf("held-%d", i), schemas.TypeStepRequested, `{"step":"HELD"}`)
		}
		e.awaitTypes(t, "recorded", "held", 2)
		id := step.QueueID(schemas.BotID{Tenant: "default", Bot: "recorded"}, "HELD")
		require.Eventually(t, func() bool { return held.Load() == 1 }, patience, 10*time.Millisecond)
		run := c.GetWorkflow(t.Context(), id, "")
		require.NoError(t, c.CancelWorkflow(t.Context(), id, run.GetRunID()))
		require.Error(t, run.Get(t.Context(), nil))
		save(t, "queue-cancelled", history(t, c, id, run.GetRunID()))

		e.publish(t, "recorded", "held", "held-2", schemas.TypeStepRequested, `{"step":"HELD"}`) // starts the next run
		e.awaitTypes(t, "recorded", "held", 6)
		require.EqualValues(t, 3, held.Load(), "the steps behind the cancelled one are made")
		accepted := map[string]bool{}
		for _, r := range e.of("recorded", "held") {
			var data schemas.StepReplied
			require.NoError(t, json.Unmarshal(r.Data, &data))
			require.Equal(t, r.Type == schemas.TypeStepLate, accepted[data.EventID], "accepted first, then its end")
			accepted[data.EventID] = true
		}
	})
	t.Run("run-cancelled", func(t *testing.T) {
		t.Parallel()
		e.publish(t, "patient", "run-cancelled", "run-cancelled-0", schemas.TypeStepRequested, `{"step":"ORDER"}`)
		e.awaitTypes(t, "patient", "run-cancelled", 1)
		id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "patient"}.WithConversation("run-cancelled"))
		run := c.GetWorkflow(t.Context(), id, "")
		require.NoError(t, c.CancelWorkflow(t.Context(), id, ""))
		require.Error(t, run.Get(t.Context(), nil))
		save(t, "run-cancelled", history(t, c, id, run.GetRunID()))
	})
	t.Run("channel", func(t *testing.T) {
		t.Parallel()
		status, body := ask(t, "POST", "http://"+s.Starter.GatewayAddr()+"/exec", recordedScripts["channel-token"], "{}")
		require.Equal(t, http.StatusOK, status, body)
		save(t, "channel", history(t, c, onlyRun(t, c, "answers"), ""))
	})
	t.Run("channel-raises", func(t *testing.T) {
		t.Parallel()
		client := dial(t, s.Starter.GatewayAddr(), "/ws/token/v1", recordedScripts["channel-token"])
		require.Equal(t, "script_exception", client.ask(`["message",{"qid":1}]`)["error"].(map[string]any)["kind"])
		save(t, "channel-raises", history(t, c, onlyRun(t, c, "raises"), ""))
	})
	for name := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "recorded"}.WithConversation(name))
			require.Eventually(t, func() bool { // idle, so the history is whole
				d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
				return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
			}, patience, 100*time.Millisecond)
			save(t, name, history(t, c, id, ""))
			if name == "called-early" {
				require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "recorded", name, 1)[0].Outcome)
			}
		})
	}
}

// onlyRun is the id of the one run of a channel's script.
func onlyRun(t *testing.T, c client.Client, script string) (id string) {
	t.Helper()
	query := fmt.Sprintf("WorkflowType = %q AND %s = %q", step.WorkflowStep, step.AttributeStep, script)
	require.Eventually(t, func() bool { // the visibility store follows
		found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil || len(found.GetExecutions()) != 1 {
			return false
		}
		id = found.GetExecutions()[0].GetExecution().GetWorkflowId()
		return true
	}, patience, 50*time.Millisecond)
	return id
}

func history(t *testing.T, c client.Client, id, run string) *historypb.History {
	t.Helper()
	h, err := readHistory(t.Context(), c, id, run)
	require.NoError(t, err)
	require.NotEmpty(t, h.GetEvents())
	return h
}

// readHistory is history for a condition that is polled, in which a failed call means not yet.
func readHistory(ctx context.Context, c client.Client, id, run string) (*historypb.History, error) {
	var h historypb.History
	events := c.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, event)
	}
	return &h, nil
}

// save writes a history where the replay tests look for it. A history that is there is never replaced.
func save(t *testing.T, name string, h *historypb.History) {
	t.Helper()
	var opts temporalproto.CustomJSONMarshalOptions
	raw, err := opts.Marshal(h)
	require.NoError(t, err)
	dir := os.Getenv(recordings)
	if dir == "" {
		return
	}
	file, err := os.OpenFile(filepath.Join(dir, name+".json.gz"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	require.NoError(t, err)
	defer file.Close()
	w := gzip.NewWriter(file)
	_, err = io.Copy(w, strings.NewReader(string(raw)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
}
