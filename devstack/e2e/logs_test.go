package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

const loggedBot = `bot: shop
base_urls: {test: %q}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: /orders}}
  BROKEN: {webhook: {path: /broken, retry: {initial: 10ms}}}
  LATER: {webhook: {dialect: plain, path: /later, timeout: 1h}}
  SCRIPT: {code: {file: script.py}}
`

const deniedScript = `
import urllib.request
def main(event, context):
    urllib.request.urlopen("https://10.0.0.1/")
`

// logged is a cluster whose programs log everything, and the trace of each event that was sent.
type logged struct {
	engine  *engine
	gateway string
	procs   []*proc
	traces  map[string]string // by event id
}

func startLogged(t *testing.T) (l *logged, callback chan string) {
	t.Helper()
	samples := endpoint.New(endpoint.Options{})
	callback = make(chan string, 1)
	samples.Handle("/orders", ok)
	samples.Handle("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	samples.Handle("/later", func(w http.ResponseWriter, r *http.Request) {
		offer(callback, r.Header.Get("Hookturn-Callback"))
		w.WriteHeader(http.StatusAccepted)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	bots := t.TempDir()
	for name, text := range map[string]string{"shop.yaml": fmt.Sprintf(loggedBot, samples.URL()), "script.py": deniedScript} {
		require.NoError(t, os.WriteFile(filepath.Join(bots, name), []byte(text), 0o600))
	}
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	gateway := freeAddr()
	env := func() []string {
		return append(environment(where, bots), "HOOKTURN_LOG_LEVEL=debug", "HOOKTURN_GATEWAY_URL=http://"+gateway)
	}
	return &logged{
		engine: newEngine(t, "nats://"+where["nats"]), gateway: gateway, traces: map[string]string{},
		procs: []*proc{
			run(t, program(t, "worker"), append(env(), "HOOKTURN_TASK_QUEUES=hookturn-code")),
			run(t, program(t, "worker"), append(env(), "HOOKTURN_TASK_QUEUES=hookturn")),
			run(t, program(t, "starter"), append(env(), "HOOKTURN_GATEWAY_ADDR="+gateway)),
		},
	}, callback
}

// send publishes an event of a trace of its own.
func (l *logged) send(t *testing.T, bot, step string) {
	t.Helper()
	id := uuid.New()
	trace := strings.ReplaceAll(id.String(), "-", "")
	l.traces[id.String()] = trace
	require.NoError(t, l.engine.send(bot, step, id.String(), schemas.TypeStepRequested, fmt.Sprintf(`{"step":%q}`, step),
		nats.Header{"traceparent": []string{"00-" + trace + "-00f067aa0ba902b7-01"}}))
}

// check reads the log of a program: a line that concerns an event or a step has a trace, and an event's its own. It returns
// how often each message is there.
func (l *logged) check(t *testing.T, p *proc) map[string]int {
	t.Helper()
	text, err := os.ReadFile(p.log)
	require.NoError(t, err)
	known := map[string]bool{}
	for _, trace := range l.traces {
		known[trace] = true
	}
	messages := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		trace, _ := fields["trace_id"].(string)
		for _, key := range []string{"event", "event_id", "conversation", "step", "sequence", "reply"} {
			if _, concerns := fields[key]; concerns {
				require.True(t, known[trace], "the line has %s and not the trace of an event: %s", key, line)
			}
		}
		if event, ok := fields["event"].(string); ok {
			require.Equal(t, l.traces[event], trace, line)
		}
		if fields["error"] != nil && fields["ActivityType"] != nil {
			require.True(t, known[trace], "the SDK's line about a failed activity does not have its trace: %s", line)
		}
		require.NotContains(t, fields, "WorkflowID", "the SDK's key and not ours: %s", line)
		messages[fields["msg"].(string)]++
	}
	return messages
}

// TestLogs_TraceOnEachLineOfAnEvent runs steps that succeed, are retried, end in a bot break, call back, fail in a script, and
// events that nothing can serve. Each line about one of them has its trace.
func TestLogs_TraceOnEachLineOfAnEvent(t *testing.T) {
	t.Parallel()
	l, callback := startLogged(t)
	for _, step := range []string{"ORDER", "BROKEN", "LATER", "SCRIPT", "UNKNOWN"} {
		l.send(t, "shop", step)
	}
	l.send(t, "absent", "ORDER")
	address := next(t, callback, "the request of step LATER")
	awaitListening(t, l.gateway)
	status, text := callBack(t, address, `{"messages":5}`)
	require.Equal(t, http.StatusUnprocessableEntity, status, text)
	status, text = callBack(t, address, `{"messages":["At last."]}`)
	require.Equal(t, http.StatusAccepted, status, text)
	for step, outcome := range map[string]schemas.Outcome{
		"ORDER": schemas.OutcomeSuccess, "BROKEN": schemas.OutcomeBotBreak, "LATER": schemas.OutcomeSuccess,
		"SCRIPT": schemas.OutcomeBotBreak, "UNKNOWN": schemas.OutcomeRejected,
	} {
		require.Equal(t, outcome, l.engine.replied(t, "shop", step, 1)[0].Outcome, step)
	}
	require.Equal(t, schemas.OutcomeRejected, l.engine.replied(t, "absent", "ORDER", 1)[0].Outcome)
	for i, messages := range [][]string{
		{"script connection denied", "code step failed"},
		{"attempt", "attempt failed", "Activity error.", "callback rejected"},
		{"event became a dead letter"},
	} {
		l.procs[i].stop(t)
		logged := l.check(t, l.procs[i])
		for _, message := range messages {
			require.Positive(t, logged[message], "%q is not among %v", message, logged)
		}
	}
}
