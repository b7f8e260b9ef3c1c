package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// apart is a worker and a starter in this process whose servers the test stops and starts one by one.
type apart struct {
	dir                string
	natsAddr, temporal string
	nats               *servers.NATS
	server             *servers.Temporal
	engine             *engine
	process            *proc    // Temporal instead of server, where the programs are processes of their own
	env                []string // of these programs
}

func startApart(t *testing.T, samples *endpoint.Endpoint) *apart {
	t.Helper()
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	a := &apart{dir: t.TempDir()}
	a.startNATS(t)
	a.startTemporal(t)
	t.Cleanup(func() {
		a.server.Stop()
		a.nats.Stop()
	})
	setUp(t, a.nats.URL())
	cfg := app.Config{
		Bots: bots(t, samples.URL()), EgressDevelopment: true, StopTimeout: 5 * time.Second,
		Temporal: client.Options{HostPort: a.temporal},
	}
	as := func(user string) app.Config {
		cfg.NATSURL, cfg.NATSInboxPrefix = a.nats.UserURL(user), permissions.InboxPrefix(user)
		return cfg
	}
	w, err := app.StartWorker(t.Context(), as(permissions.Worker))
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Stop(context.WithoutCancel(t.Context())) }) // the servers may be gone: nothing to say
	s, err := app.StartStarter(t.Context(), as(permissions.Starter))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) })
	a.engine = newEngine(t, a.nats.URL())
	return a
}

func (a *apart) startNATS(t *testing.T) {
	t.Helper()
	var err error
	a.nats, err = servers.StartNATS(t.Context(), servers.NATSOptions{DataDir: filepath.Join(a.dir, "nats"), Addr: a.natsAddr})
	require.NoError(t, err)
	a.natsAddr = a.nats.Addr()
}

func (a *apart) startTemporal(t *testing.T) {
	t.Helper()
	var err error
	a.server, err = servers.StartTemporal(t.Context(), servers.TemporalOptions{
		DataDir: filepath.Join(a.dir, "temporal"), FrontendAddr: a.temporal,
	})
	require.NoError(t, err)
	a.temporal = a.server.Addr()
}

func TestStack_TemporalAwayAndBack(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	a := startApart(t, samples)
	var sent []string
	send := func() { sent = append(sent, a.engine.request(t, "shop", "away", "ORDER")) }
	send()
	a.engine.replied(t, "shop", "away", 1)
	a.server.Stop()
	for range 10 {
		send()
	}
	a.startTemporal(t)
	send()
	inOrder(t, a.engine, "away", sent)
}

func TestStep_NATSAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", ok)
	samples.Handle("/held", g.ServeHTTP)
	a := startApart(t, samples)
	sent := []string{a.engine.request(t, "shop", "away", "HELD"), a.engine.request(t, "shop", "away", "ORDER")}
	g.await(t, 1)
	a.nats.Stop()
	close(g.open)
	require.Eventually(t, func() bool { // the endpoint has answered, and the reply cannot go anywhere
		entries := samples.Ledger().ByPath("/held")
		return len(entries) > 0 && !entries[0].Out.IsZero()
	}, patience, 10*time.Millisecond)
	a.startNATS(t)
	inOrder(t, a.engine, "away", sent)
	require.Len(t, samples.Ledger().ByPath("/held"), 1, "an answered endpoint is not asked again")
}

// inOrder waits for the replies to events of a conversation and checks that they are all, in order.
func inOrder(t *testing.T, e *engine, conversation string, sent []string) {
	t.Helper()
	var got []string
	for _, r := range e.replied(t, "shop", conversation, len(sent)) {
		require.Equal(t, schemas.OutcomeSuccess, r.Outcome, r.Error)
		got = append(got, r.EventID)
	}
	require.True(t, slices.Equal(sent, got), "sent %v, answered %v", sent, got)
}

// TestTenants_ShareNothing runs two tenants whose bots, conversations and users have the same names.
func TestTenants_ShareNothing(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	for _, tenant := range []string{"acme", "bcme"} {
		samples.Handle("/"+tenant, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"response":["hello from %[1]s"],"conversation_details":{"at":%[1]q},"user_details":{"of":%[1]q}}`, tenant)
		})
	}
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	for tenant, name := range map[string]string{"acme": "shop", "bcme": "mall"} {
		content := fmt.Sprintf("bot: %s\ntenant: %s\nbase_urls: {test: %q}\nsteps: {ORDER: {webhook: {path: /%[2]s}}}\n",
			name, tenant, samples.URL())
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600))
	}
	_, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	data := `{"step":"ORDER","user":{"id":"91"}}`
	for n := range 2 {
		for tenant, name := range map[string]string{"acme": "shop", "bcme": "mall"} {
			event := fmt.Sprintf(`{"specversion":"1.0","id":"%s-%d","source":"/x","type":"hookturn.step.requested",`+
				`"time":"2026-11-20T12:00:00Z","subject":"c-1","data":%s}`, tenant, n, data)
			_, _, err := bus.NewPublisher(e.operator).PublishEvent(t.Context(), schemas.BotID{Tenant: tenant, Bot: name}.WithConversation("c-1"), []byte(event),
				fmt.Sprintf("%s-%d", tenant, n), nil)
			require.NoError(t, err)
		}
	}
	require.NoError(t, e.await(func() bool { return len(e.all()) >= 4 }))
	for tenant, other := range map[string]string{"acme": "bcme", "bcme": "acme"} {
		for _, r := range e.all() {
			if strings.HasPrefix(r.Source, "/hookturn/"+tenant+"/") {
				require.NotContains(t, string(r.Data), other)
			}
		}
		for _, entry := range samples.Ledger().ByPath("/" + tenant) {
			require.NotContains(t, string(entry.Body), other)
		}
	}
}

// TestStack_SecretsAndBodiesStayWhereTheyBelong looks for a secret and for texts of a conversation in the logs and metrics of
// worker and starter, and for the secret in the history.
func TestStack_SecretsAndBodiesStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	const secret, said, answered = "canary-secret-5f1c", "canary-said-77a2", "canary-answer-c41d"
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"response":[%q],"x":`, answered) // no JSON
	})
	samples.Handle("/broken", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, answered, http.StatusInternalServerError) })
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte(secret), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), fmt.Appendf(nil, `bot: shop
base_urls: {test: %q}
secrets: {key: {file: key}}
steps:
  ORDER: {webhook: {path: "/orders?token=%s", secret: key, authorization: {secret: key}}}
  BROKEN: {webhook: {path: /broken, secret: key, signature: [standard], retry: {max_attempts: 2, initial: 10ms}}}
`, samples.URL(), secret), 0o600))
	var logs lockedBuffer
	s, e := startWith(t, stack.Options{
		Bots: dir, Endpoint: samples, AdminAddr: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for i, name := range []string{"ORDER", "BROKEN", "UNKNOWN"} {
		e.publish(t, "shop", "c-1", fmt.Sprintf("e%d", i), schemas.TypeStepRequested,
			fmt.Sprintf(`{"step":%q,"entities":{"text":[{"detection":"message","original_text":%q,"entity_value":%q}]}}`, name, said, said))
	}
	_, err = e.js.Publish(t.Context(), "hookturn.events.default.shop.c-1", []byte(`{"`+said+`":`))
	require.NoError(t, err)
	require.NoError(t, awaitLetter(e.operator, "shop", "bad_event"))
	for _, r := range e.replied(t, "shop", "c-1", 3) {
		message := errorOf(t, r).Message
		require.NotContains(t, message, answered)
		require.NotContains(t, message, secret)
		for _, a := range r.Attempts {
			require.NotContains(t, a.URL, secret, "a URL travels without its query")
		}
	}
	resp, err := http.Get("http://" + s.Starter.AdminAddr() + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(metrics), "hookturn_events_total")
	require.Contains(t, string(metrics), "hookturn_attempts_total")
	require.Contains(t, string(metrics), "temporal_")
	for _, canary := range []string{secret, said, answered} {
		require.NotContains(t, string(metrics), canary)
		require.NotContains(t, logs.String(), canary)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
