package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/schemas"
)

// TestRedrive_StepsRepeatedOnce lets steps of several conversations fail, repairs the endpoint and repeats them, with a kill
// of the tool in the middle.
func TestRedrive_StepsRepeatedOnce(t *testing.T) {
	t.Parallel()
	const conversations, each = 4, 15 // at one event a second the tool takes a minute, however late the test kills it
	samples := endpoint.New(endpoint.Options{})
	var repaired atomic.Bool
	var mu sync.Mutex
	called := map[string]int{} // successful calls by webhook-id
	samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		if !repaired.Load() {
			w.WriteHeader(http.StatusNotFound) // not retried
			return
		}
		mu.Lock()
		called[r.Header.Get("Webhook-Id")]++
		mu.Unlock()
		ok(w, r)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	s, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples})
	run := func(args ...string) (string, int) {
		return tool(t, s.NATS.URL(), s.Temporal.Addr(), append([]string{"steps"}, args...)...)
	}
	asked := map[string][]string{}
	for n := range conversations {
		c := fmt.Sprintf("c-%d", n)
		for range each {
			asked[c] = append(asked[c], e.request(t, "shop", c, "ORDER"))
		}
	}
	for c := range asked {
		for _, r := range e.replied(t, "shop", c, each) {
			require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
		}
	}
	repaired.Store(true)

	_, status := run("repeat", "--bot", "shop", "--since", "1h")
	require.Equal(t, 4, status, "nothing is done without a confirmation")
	out, status := run("repeat", "--bot", "shop", "--since", "1h", "--dry-run", "--output", "json")
	require.Zero(t, status)
	var count redrive.Count
	require.NoError(t, json.Unmarshal([]byte(out), &count))
	require.Equal(t, map[string]int{"status": conversations * each}, count.ByReason)

	var before uint64
	retried(t, func(ctx context.Context) (err error) {
		before, err = lastStored(ctx, e.operator)
		return err
	})
	killed := exec.Command(program(t, "starter"), "steps", "repeat", "--bot", "shop", "--since", "1h", "--rate", "1", "--yes", waitLong)
	killed.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+s.Temporal.Addr(), "HOOKTURN_NATS_URL="+s.NATS.URL())
	require.NoError(t, killed.Start())
	late := func() (n int) {
		for c := range asked {
			n += len(lateOf(t, e, c))
		}
		return n
	}
	// Its events show how far it has come; the replies to them may be late.
	require.Eventually(t, func() bool {
		last, err := lastStored(t.Context(), e.operator)
		return err == nil && last >= before+2
	}, 2*patience, pollInterval)
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait(), "it was killed before it ended")
	out, status = run("repeat", "--bot", "shop", "--since", "1h", "--rate", "200", "--yes")
	require.Zero(t, status, out)
	require.Eventually(t, func() bool { return late() == conversations*each }, patience, 20*time.Millisecond)

	for c, ids := range asked {
		var order []string
		for _, r := range lateOf(t, e, c) {
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
			order = append(order, r.EventID)
		}
		require.Equal(t, ids, order, "each once, in the order of the conversation, for the event that asked")
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, called, conversations*each)
	for _, ids := range asked {
		for _, id := range ids {
			require.Equal(t, 1, called[schemas.EncodeID(id)], "the endpoint receives the webhook-id of the first try")
		}
	}
	_, status = run("list", "--bot", "shop")
	require.Equal(t, 3, status, "what was repaired is not listed")
}

// lastStored returns the sequence of the latest event that JetStream has accepted.
func lastStored(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	stream, err := js.Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// TestRedrive_KnownToConversation replays the dead letter of an event that its conversation has answered with rejected: nothing
// is done while that conversation, open or closed, is the latest one.
func TestRedrive_KnownToConversation(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("default token-of-the-tenant-default\n"), 0o600))
	operator := filepath.Join(t.TempDir(), "operator")
	require.NoError(t, os.WriteFile(operator, []byte("bob operator 0123456789abcdef-bob\n"), 0o600))
	s, e := startWith(t, stack.Options{
		Bots: bots(t, samples.URL()), Endpoint: samples, AdminAddr: "127.0.0.1:0",
		Gateway: app.Gateway{Addr: "127.0.0.1:0", EventTokens: tokens, OperatorToken: operator},
	})
	run := func(args ...string) (string, int) { return tool(t, s.NATS.URL(), s.Temporal.Addr(), args...) }
	overHTTP := func() (engine, admin int) {
		engine, _ = ask(t, http.MethodPost, "http://"+s.Starter.GatewayAddr()+"/deadletters/1/replay", "token-of-the-tenant-default", "")
		admin, _ = ask(t, http.MethodPost, "http://"+s.Starter.AdminAddr()+"/admin/v1/deadletters/1/replay", "0123456789abcdef-bob", "")
		return engine, admin
	}
	known := func() (leftOut map[string]int, counted bool) {
		out, status := run("deadletters", "replay", "--bot", "shop", "--dry-run", "--output", "json")
		var count redrive.Count
		counted = status == 0 && json.Unmarshal([]byte(out), &count) == nil
		return count.LeftOut, counted
	}
	requireKnown := func(why string) {
		t.Helper()
		leftOut, counted := known()
		require.True(t, counted)
		require.Equal(t, map[string]int{redrive.LeftKnown: 1}, leftOut, why)
	}

	e.request(t, "shop", "c-1", "ORDER")
	e.replied(t, "shop", "c-1", 1)
	e.publish(t, "shop", "c-1", uuid.NewString(), schemas.TypeStepRequested, `{"step":5}`)
	require.Equal(t, schemas.OutcomeRejected, e.replied(t, "shop", "c-1", 2)[1].Outcome)
	require.Eventually(t, func() bool {
		_, status := run("deadletters", "show", "1")
		return status == 0
	}, patience, 100*time.Millisecond)

	_, status := run("deadletters", "replay", "1", "--yes")
	require.Equal(t, 4, status)
	byEngine, byOperator := overHTTP()
	require.Equal(t, []int{http.StatusConflict, http.StatusConflict}, []int{byEngine, byOperator})
	_, status = tool(t, s.NATS.URL(), "127.0.0.1:1", "deadletters", "replay", "1", "--yes", "--connect-timeout", "1s")
	require.Equal(t, 5, status, "not replayed when it cannot be found out")
	requireKnown("an open conversation knows its events")
	_, status = run("deadletters", "replay", "--bot", "shop", "--yes")
	require.Equal(t, 6, status)
	_, status = run("conversations", "cancel", "c-1", "--bot", "shop", "--yes")
	require.Zero(t, status)
	_, status = run("deadletters", "show", "1")
	require.Zero(t, status, "the dead letter is kept")
	requireKnown("a closed conversation knows its events, too")

	require.Eventually(t, func() bool { // the run that was cancelled may answer an event yet
		if e.send("shop", "c-1", uuid.NewString(), schemas.TypeStepRequested, `{"step":"ORDER"}`, nil) != nil {
			return false
		}
		leftOut, counted := known()
		return counted && len(leftOut) == 0
	}, patience, 100*time.Millisecond)
	byEngine, _ = overHTTP()
	require.Equal(t, http.StatusOK, byEngine, "the next conversation does not know it")
}

// lateOf returns the late answers of a conversation, in stream order.
func lateOf(t *testing.T, e *engine, conversation string) (all []schemas.StepReplied) {
	t.Helper()
	for _, r := range e.of("shop", conversation) {
		var data schemas.StepReplied
		if r.Type == schemas.TypeStepLate && json.Unmarshal(r.Data, &data) == nil {
			all = append(all, data)
		}
	}
	return all
}
