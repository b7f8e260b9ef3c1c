package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// scripted is a cluster whose bot has a script.
func scripted(t *testing.T, samples *endpoint.Endpoint, script string) (where map[string]string, env func() []string, e *engine) {
	t.Helper()
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	bots := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml": "bot: shop\nbot_break: {default: Sorry.}\nsteps: {SCRIPT: {code: {file: script.py}}}\n",
		"script.py": fmt.Sprintf(script, samples.URL()),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bots, name), []byte(text), 0o600))
	}
	_, where = runServers(t, append(anyPort(), "--engine=false")...)
	env = func() []string {
		return append(environment(where, bots), "HOOKTURN_TASK_QUEUES=hookturn,hookturn-code", "HOOKTURN_EGRESS_ALLOW=127.0.0.1")
	}
	return where, env, newEngine(t, "nats://"+where["nats"])
}

// TestCode_ScriptIsNotRunAgain kills the worker in the middle of a script that has sent a request: the script may have had its
// effect, so it must not run again.
func TestCode_ScriptIsNotRunAgain(t *testing.T) {
	t.Parallel()
	samples, gate := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/pay", gate.ServeHTTP)
	_, env, e := scripted(t, samples, `
import urllib.request
def main(event, context):
    urllib.request.urlopen(urllib.request.Request(%q + "/pay", headers={"webhook-id": context.aws_request_id}), timeout=18)
`)
	first := run(t, program(t, "worker"), env())
	run(t, program(t, "starter"), env())
	e.request(t, "shop", "c-1", "SCRIPT")
	gate.await(t, 1)
	first.kill()
	run(t, program(t, "worker"), env())
	r := e.replied(t, "shop", "c-1", 1)[0]
	require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
	requireKind(t, "outcome_unknown", r)
	require.Len(t, samples.Ledger().ByPath("/pay"), 1)
	close(gate.open)
}

// TestCodeSteps_NoWorker: without a worker for code steps, the step ends with an error that names what is missing.
func TestCodeSteps_NoWorker(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/pay", func(http.ResponseWriter, *http.Request) {})
	_, env, e := scripted(t, samples, "# %s\ndef main(event, context): pass\n")
	run(t, program(t, "worker"), append(env(), "HOOKTURN_TASK_QUEUES=hookturn"))
	run(t, program(t, "starter"), env())
	e.request(t, "shop", "c-1", "SCRIPT")
	r := e.replied(t, "shop", "c-1", 1)[0]
	requireKind(t, "sandbox_unavailable", r)
	require.Contains(t, r.Error.Message, "--task-queues hookturn-code")
}

// TestCode_BuilderFindsTheLog looks at a run as its builder does: what the script wrote stands in the activity's result.
func TestCode_BuilderFindsTheLog(t *testing.T) {
	t.Parallel()
	where, env, e := scripted(t, endpoint.New(endpoint.Options{}),
		"# %s\nimport logging\ndef main(event, context):\n    print('looked it up')\n    logging.warning('found nothing')\n    raise ValueError('no such order')\n")
	run(t, program(t, "worker"), env())
	run(t, program(t, "starter"), env())
	e.request(t, "shop", "c-1", "SCRIPT")
	r := e.replied(t, "shop", "c-1", 1)[0]
	requireKind(t, "script_exception", r)
	require.Equal(t, []schemas.Message{schemas.Text("Sorry.")}, r.Messages, "the user sees no traceback")
	c, err := client.Dial(client.Options{HostPort: where["temporal"]})
	require.NoError(t, err)
	defer c.Close()
	h := history(t, c, step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")), "")
	var written strings.Builder
	for _, event := range h.GetEvents() {
		if a := event.GetActivityTaskCompletedEventAttributes(); a != nil {
			written.Write(a.GetResult().GetPayloads()[0].GetData())
		}
	}
	log := written.String()
	require.Contains(t, log, "looked it up")
	require.Contains(t, log, "[WARNING] found nothing")
	require.Contains(t, log, "ValueError: no such order")
	require.Contains(t, log, `line 6, in main`)
}
