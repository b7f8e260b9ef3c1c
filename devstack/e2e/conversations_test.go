package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/schemas"
)

// waitLong lets a tool wait for servers that share two busy cores with it.
const waitLong = "--connect-timeout=1m"

// tool runs a command of "starter" and returns its output and its status.
func tool(t *testing.T, natsURL, temporal string, args ...string) (out string, status int) {
	t.Helper()
	if !slices.Contains(args, "--connect-timeout") {
		args = append(args, waitLong)
	}
	cmd := exec.Command(program(t, "starter"), args...)
	cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+temporal, "HOOKTURN_NATS_URL="+natsURL)
	var printed, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &problem
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Logf("%v: %s", args, &problem)
		return printed.String(), exit.ExitCode()
	}
	require.NoError(t, err, problem.String())
	return printed.String(), 0
}

// auditOf returns the audit events of an action.
func auditOf(t *testing.T, natsURL string, action schemas.AuditAction) (list []schemas.AuditEvent) {
	t.Helper()
	out, status := tool(t, natsURL, "", "audit", "--action", string(action), "--output", "json")
	require.Zero(t, status)
	require.NoError(t, json.Unmarshal([]byte(out), &list), "%s", out)
	return list
}

// filterConversations finds conversations by each filter of "conversations list", and erases one of them.
func filterConversations(t *testing.T, e *engine, run func(args ...string) (string, int)) {
	t.Helper()
	const id = "ünï \"'\\ ☃"
	unusual := schemas.ConversationToken(id) // as lists show what Temporal cannot find
	e.publish(t, "shop", id, uuid.NewString(), schemas.TypeStepRequested, `{"step":"NEEDS","user":{"id":"o'neil\\"}}`)
	e.publish(t, "shop", "failed", uuid.NewString(), schemas.TypeStepRequested, `{"step":"FLAKY","user":{"id":"%_"}}`)
	require.Equal(t, schemas.OutcomeBotBreak, e.replied(t, "shop", "failed", 1)[0].Outcome)
	list := func(args ...string) (found []string) {
		out, status := run(append([]string{"conversations", "list", "--output", "json"}, args...)...)
		var runs []inspect.Run
		if status == 0 {
			require.NoError(t, json.Unmarshal([]byte(out), &runs), out)
		}
		for _, r := range runs {
			found = append(found, r.Conversation)
		}
		slices.Sort(found)
		return found
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--outcome", "waiting"}, []string{unusual}},
		{[]string{"--user", `o'neil\`}, []string{unusual}},
		{[]string{"--user", "%_"}, []string{"failed"}},
		{[]string{"--user", "%"}, nil},
		{[]string{"--outcome", "bot_break", "--tenant", "default"}, []string{"failed"}},
		{[]string{"--tenant", "Default"}, nil},
		{[]string{"--bot", "shop", "--since", "1h"}, []string{"failed", "o'done", "stuck", unusual}},
		{[]string{"--bot", "shop", "--until", "1h"}, nil},
		{[]string{"--bot", "shop", "--busy", "100ms"}, []string{"stuck"}},
		{[]string{"--bot", "shop", "--limit", "2", "--since", "1h", "--outcome", "waiting"}, []string{unusual}},
	} {
		require.Eventually(t, func() bool { return slices.Equal(c.want, list(c.args...)) }, patience, 100*time.Millisecond, "%v", c.args)
	}
	_, status := run("conversations", "show", id, "--bot", "shop")
	require.Zero(t, status)
	out, status := run("erase", "--conversation", id, "--bot", "shop", "--yes", "--output", "json")
	require.Zero(t, status, out)
	var report erased
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, 1, report.Conversations)
	require.Eventually(t, func() bool { return list("--outcome", "waiting") == nil }, patience, 100*time.Millisecond)
}

// nameBots pauses a bot of which only an open conversation is known, and bots that nothing knows.
func nameBots(t *testing.T, run func(args ...string) (string, int)) {
	t.Helper()
	for _, args := range [][]string{
		{"bots", "pause", "shpo"}, {"bots", "resume", "shpo"}, {"bots", "pause", "shop", "--tenant", "acme"},
		{"endpoints", "pause", "https://shop.example/orders", "--bot", "shpo"}, {"endpoints", "resume", "https://shop.example/orders", "--bot", "shpo"},
	} {
		for _, confirmed := range []string{"--yes", "--dry-run"} {
			out, status := run(append(args, confirmed)...)
			require.Equal(t, 3, status, "%v: %s", args, out)
		}
	}
	_, status := run("bots", "list")
	require.Equal(t, 3, status, "none was paused")
	for _, args := range [][]string{
		{"bots", "pause", "shop"}, {"bots", "resume", "shop"}, {"bots", "pause", "shpo", "--unknown"}, {"bots", "resume", "shpo"},
	} {
		out, status := run(append(args, "--yes")...)
		require.Zero(t, status, "%v: %s", args, out)
	}
}

// TestConversations_FoundShownCancelled finds a conversation whose step hangs among others, looks at it and ends it.
func TestConversations_FoundShownCancelled(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		findShowCancel(t, "")
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		url, _ := startPostgres(t)
		findShowCancel(t, url)
	})
}

// findShowCancel is the test on a database of Temporal; "" is SQLite.
func findShowCancel(t *testing.T, database string) {
	t.Helper()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", ok)
	samples.Handle("/held", g.ServeHTTP)
	samples.Handle("/flaky", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }) // not retried
	_, err := samples.Start()
	require.NoError(t, err)
	s, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples, TemporalPostgres: database})
	run := func(args ...string) (string, int) { return tool(t, s.NATS.URL(), s.Temporal.Addr(), args...) }

	e.request(t, "shop", "o'done", "ORDER")
	e.replied(t, "shop", "o'done", 1)
	e.request(t, "shop", "stuck", "ORDER")
	e.replied(t, "shop", "stuck", 1)
	held := e.request(t, "shop", "stuck", "HELD")
	g.await(t, 1)

	var runs []inspect.Run
	require.Eventually(t, func() bool {
		out, status := run("conversations", "list", "--bot", "shop", "--busy", "100ms", "--output", "json")
		return status == 0 && json.Unmarshal([]byte(out), &runs) == nil && len(runs) == 1
	}, patience, 100*time.Millisecond)
	require.Equal(t, "stuck", runs[0].Conversation)
	require.Equal(t, "HELD", runs[0].InHand[0].Step)
	require.Eventually(t, func() bool { // lists of runs come a moment later
		out, status := run("conversations", "list", "--bot", "shop", "--since", "1h")
		return status == 0 && strings.Contains(out, "o'done")
	}, patience, 100*time.Millisecond)
	_, status := run("conversations", "list", "--user", "o'neil")
	require.Equal(t, 3, status)

	out, status := run("conversations", "show", "stuck", "--bot", "shop", "--ui-url", "https://ui.example")
	require.Zero(t, status)
	for _, want := range []string{"step.replied: success", "attempt 1 at ", "the user read: ", held, "in hand for ", "https://ui.example/namespaces/default/workflows/"} {
		require.Contains(t, out, want)
	}
	_, status = run("conversations", "show", "none", "--bot", "shop")
	require.Equal(t, 3, status)

	nameBots(t, run)
	filterConversations(t, e, run)

	_, status = run("conversations", "cancel", "stuck", "--bot", "shop")
	require.Equal(t, 4, status, "nothing is done without a confirmation")
	out, status = run("conversations", "cancel", "stuck", "--bot", "shop", "--yes")
	require.Zero(t, status, out)
	requireKind(t, "cancelled", e.replied(t, "shop", "stuck", 2)[1])
	recorded := auditOf(t, s.NATS.URL(), schemas.AuditConversationsCancel)
	require.Len(t, recorded, 2)
	require.Equal(t, []string{runs[0].Workflow.RunID}, recorded[0].Data.Objects)
	require.Equal(t, map[string]int{"cancelled": 1, "not_cancelled": 0}, recorded[1].Data.Counts)
	require.NotContains(t, fmt.Sprint(recorded), "stuck", "no id of a conversation")

	if database == "" { // these do not depend on it, and wait for their timeouts
		toolsWithoutServers(t, s)
	}
	require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", "stuck", 2)[0].Outcome)
	close(g.open)
}

// toolsWithoutServers runs tools that cannot reach NATS or Temporal.
func toolsWithoutServers(t *testing.T, s *stack.Stack) {
	t.Helper()
	const nowhere = "127.0.0.1:1"
	out, status := tool(t, "nats://"+nowhere, s.Temporal.Addr(),
		"conversations", "cancel", "o'done", "--bot", "shop", "--yes", "--connect-timeout", "1s")
	require.Equal(t, 5, status, "nothing without the audit event: %s", out)
	out, status = tool(t, s.NATS.URL(), nowhere,
		"bots", "pause", "shop", "--yes", "--connect-timeout", "10s", "--output", "json")
	require.Equal(t, 5, status, out)
	require.Contains(t, out, "--unknown")
	out, status = tool(t, "nats://"+nowhere, s.Temporal.Addr(),
		"conversations", "cancel", "o'done", "--bot", "shop", "--yes", "--unaudited", "--connect-timeout", "20s")
	require.Zero(t, status, out)
}
