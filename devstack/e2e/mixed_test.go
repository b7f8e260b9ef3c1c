package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// stepsVariable is how many steps the mixed load has; "make soak" sets it to 100,000.
const stepsVariable = "HOOKTURN_MIXED_STEPS"

// What must not be seen anywhere: two secrets, what a user wrote, what an endpoint answered with a failure.
const (
	hiddenSecret  = "hidden-secret-0c6f1e"
	hiddenMessage = "hidden-message-7f3a52"
	hiddenAnswer  = "hidden-answer-c4a9be"
)

// TestMixed_Load runs every dialect, well-behaved and chaotic endpoints side by side, for two tenants, over two workers and
// two starters, kills one of each in the middle, and then checks the recorded traffic of both ends.
func TestMixed_Load(t *testing.T) {
	m := newMixed(t)
	worker, starter := m.start(t, "worker", m.worker()), m.start(t, "starter", m.starter())
	m.start(t, "worker", m.worker())
	m.start(t, "starter", m.gateway())
	awaitReady(t, m.procs...)

	steps := 2000
	if text := os.Getenv(stepsVariable); text != "" {
		var err error
		steps, err = strconv.Atoi(text)
		require.NoError(t, err, stepsVariable)
	}
	began := time.Now()
	half := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() { m.drive(t, steps, half) })
	<-half
	worker.kill()
	starter.kill()
	awaitReady(t, m.start(t, "worker", m.worker()), m.start(t, "starter", m.starter()))
	done.Wait()
	took := time.Since(began)

	totals, problems := m.recorded(t).Check()
	t.Logf("%s; %.0f steps/s, a worker and a starter killed in the middle; failures: %v", totals,
		float64(totals.Replies)/took.Seconds(), totals.Failures)
	require.GreaterOrEqual(t, totals.Events, steps)
	require.Zero(t, m.samples.Ledger().Dropped())
	require.Empty(t, problems[:min(len(problems), 20)], "%d problems", len(problems))
	for _, word := range []string{"status", "timeout", "reset", "bad_response", "redirect", "too_large"} {
		require.Contains(t, totals.Failures, word, "the load is not as mixed as it should be")
	}
}

// mixed is the load: servers and programs as processes of their own, and an engine that knows what it waits for.
type mixed struct {
	*traffic
	where   map[string]string
	bots    string
	gate    string // address of the gateway
	samples *endpoint.Endpoint
	procs   []*proc
	chaos   atomic.Int64 // how many steps have met a chaotic endpoint
}

var tenants = []string{"acme", "zeta"}

func newMixed(t *testing.T) *mixed {
	t.Helper()
	m := &mixed{
		samples: endpoint.New(endpoint.Options{LedgerSize: 1 << 20, Secret: hiddenSecret}), bots: t.TempDir(), gate: freeAddr(),
	}
	m.samples.Handle("/good", ok)
	m.samples.Handle("/failing", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, hiddenAnswer, http.StatusInternalServerError)
	})
	m.samples.Handle("/senseless", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, hiddenAnswer) })
	m.samples.Handle("/twoway/flaky", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("hookturn-attempt") == "1" {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	_, err := m.samples.Start()
	require.NoError(t, err)
	t.Cleanup(m.samples.Stop)
	for _, secret := range []string{"secret", "bearer"} {
		content := map[string]string{"secret": hiddenSecret, "bearer": "Bearer " + hiddenSecret}[secret]
		require.NoError(t, os.WriteFile(filepath.Join(m.bots, secret), []byte(content), 0o600))
	}
	for _, tenant := range tenants {
		for dialect, text := range mixedBots() {
			name := tenant + "-" + dialect
			text = strings.NewReplacer("$BOT", name, "$TENANT", tenant, "$ENDPOINT", m.samples.URL()).Replace(text)
			require.NoError(t, os.WriteFile(filepath.Join(m.bots, name+".yaml"), []byte(text), 0o600))
		}
	}
	_, m.where = runServers(t, append(anyPort(), "--engine=false")...)
	m.traffic = newTraffic(newEngine(t, "nats://"+m.where["nats"]))
	return m
}

// mixedBots is a bot file of each dialect.
func mixedBots() map[string]string {
	const top = "bot: $BOT\ntenant: $TENANT\ndialect: %s\nbase_urls: {test: \"$ENDPOINT\"}\n" +
		"secrets: {key: {file: secret}, bearer: {file: bearer}}\nbot_break: {default: \"Sorry.\"}\n"
	const owner = `headers: {` + invariants.OwnerHeader + `: "$TENANT"}`
	var haptik strings.Builder
	fmt.Fprintf(&haptik, top+"steps:\n", "haptik")
	step := func(name, rest string) string {
		return fmt.Sprintf("  %s: {webhook: {%s, secret: key, %s}}\n", name, rest, owner)
	}
	const brief = "attempt_timeout: 1s, timeout: 3s, retry: {max_attempts: 2, initial: 10ms}"
	haptik.WriteString(step("GOOD", "path: /good") + step("FLAKY", "path: /flaky, retry: {initial: 10ms}") +
		step("FAILING", "path: /failing, limits: {trip_after: 1000}, "+brief) + step("SENSELESS", "path: /senseless, "+brief) +
		step("SLOW", `path: "/slow?ms=300", progress_after: 100ms, progress_message: {default: "Wait."}`) +
		step("LATE", `path: "/slow?ms=1500", timeout: 1s, attempt_timeout: 3s, retry: {max_attempts: 1}, late_answer: publish`) +
		"  NEEDS: {requires: [product], webhook: {path: /good, secret: key, " + owner + "}}\n")
	for _, name := range chaosSteps() {
		haptik.WriteString(step(chaosStep(name), "path: /chaos/"+name+", "+brief))
	}
	return map[string]string{
		"haptik": haptik.String(),
		"loyjoy": fmt.Sprintf(top, "loyjoy") + `steps:
  AREA: {webhook: {path: /loyjoy/area, params: {city: "${city}"}, authorization: {secret: bearer}, ` + owner + `}}
  NOTIFY: {webhook: {path: /loyjoy/notify, mode: background, authorization: {secret: bearer}, ` + owner + `}}
  LOST: {webhook: {path: /nowhere, mode: background, ` + owner + `}}
`,
		"plain": fmt.Sprintf(top, "plain") + `steps:
  ORDER: {webhook: {path: /plain/orders, secret: key, ` + owner + `}}
  LATER: {webhook: {path: "/plain/later?ms=20", timeout: 1h, ` + owner + `}}
  STOCK:
    webhook:
      path: /legacy/stock
      request: '{article: .event.data.params.article}'
      response: '{messages: [.warehouses[] | "\(.city): \(.pieces)"]}'
      ` + owner + `
`,
		"twoway": fmt.Sprintf(top, "twoway") + `adapters:
  bot: {account: "1", is_bot: true, message_endpoint: {url: "$ENDPOINT/twoway/messages", ` + owner + `}}
  agents:
    account: "1"
    message_endpoint: {url: "$ENDPOINT/twoway/flaky", ` + owner + `}
    handover_endpoint: {url: "$ENDPOINT/twoway/handover", ` + owner + `}
    events_endpoint: {url: "$ENDPOINT/twoway/events", session_events: false} # the checker knows what was sent
`,
	}
}

func chaosSteps() []string { return append(endpoint.Chaos(), "redirect", "busy", "flap") }

func chaosStep(name string) string {
	return "CHAOS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func (m *mixed) worker() []string {
	return append(environment(m.where, m.bots), "HOOKTURN_LOG_LEVEL=debug", "HOOKTURN_GATEWAY_URL=http://"+m.gate)
}

func (m *mixed) starter() []string {
	return append(environment(m.where, m.bots), "HOOKTURN_LOG_LEVEL=debug")
}

func (m *mixed) gateway() []string { return append(m.starter(), "HOOKTURN_GATEWAY_ADDR="+m.gate) }

// start starts a program.
func (m *mixed) start(t *testing.T, name string, env []string) *proc {
	t.Helper()
	p := run(t, program(t, name), env)
	m.procs = append(m.procs, p)
	return p
}

// drivers is how many conversations have something to do at a time.
const drivers = 160

// drive sends so many steps, and closes half when half of them are sent.
func (m *mixed) drive(t *testing.T, steps int, half chan struct{}) {
	t.Helper()
	stop := m.follow(t)
	defer stop()
	var group sync.WaitGroup
	var mu sync.Mutex
	left := steps
	take := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if left == steps/2 {
			close(half)
		}
		left--
		return left >= 0
	}
	for i := range drivers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for n := 0; take(); n++ {
				dialect := []string{"haptik", "haptik", "haptik", "loyjoy", "plain", "twoway"}[random.IntN(6)]
				bot := schemas.BotID{Tenant: tenants[i%2], Bot: tenants[i%2] + "-" + dialect}
				to := invariants.Event{ConversationKey: bot.WithConversation(fmt.Sprintf("c-%d-%d", i, n/50))}
				for range random.IntN(3) { // some events do not wait for the one before
					if take() {
						m.step(t, random, dialect, to, false)
					}
				}
				m.step(t, random, dialect, to, true)
			}
		})
	}
	group.Wait()
	m.waitAll(t)
}

// step sends one event, or two where a step waits for its entities.
func (m *mixed) step(t *testing.T, random *rand.Rand, dialect string, to invariants.Event, wait bool) {
	t.Helper()
	pick := func(names ...string) string { return names[random.IntN(len(names))] }
	asked := func(name string) string {
		return fmt.Sprintf(`{"step":%q,"user":{"id":"91","name":%q},"variables":{"city":"Delft"},"params":{"article":"speaker"},
			"entities":{"note":[{"detection":"message","original_text":%q,"entity_value":%q}]}}`,
			name, invariants.Mark(to.Tenant), hiddenMessage, hiddenMessage)
	}
	eventType, data := schemas.TypeStepRequested, ""
	switch dialect {
	case "haptik":
		name := pick("GOOD", "GOOD", "GOOD", "GOOD", "GOOD", "GOOD", "FLAKY", "FAILING", "SENSELESS", "SLOW", "LATE", "NEEDS", "CHAOS")
		if name == "CHAOS" {
			all := chaosSteps() // in turn, so that a short load meets each
			name = chaosStep(all[int(m.chaos.Add(1))%len(all)])
		}
		to.Unordered = name == "LATE"
		data = asked(name)
	case "loyjoy":
		name := pick("AREA", "AREA", "AREA", "AREA", "NOTIFY", "LOST")
		to.Background = name != "AREA"
		to.Unordered = to.Background
		data = asked(name)
	case "plain":
		data = asked(pick("ORDER", "ORDER", "LATER", "STOCK"))
	case "twoway":
		eventType = pick(schemas.TypeMessageReceived, schemas.TypeMessageReceived, schemas.TypeConversationEvent,
			schemas.TypeConversationHandover)
		data = fmt.Sprintf(`{"message":{"type":"text","text":%q},"event":{"type":"typing"},"context":{"why":%q},"user":{"name":%q}}`,
			hiddenMessage, hiddenMessage, invariants.Mark(to.Tenant))
	}
	to.ID = uuid.NewString()
	end := m.send(t, to, eventType, data)
	if strings.Contains(data, `"NEEDS"`) {
		to.ID = uuid.NewString()
		m.publish(t, to, schemas.TypeEntitiesCollected,
			`{"entities":{"product":[{"detection":"message","original_text":"x","entity_value":"x"}]}}`)
	}
	if wait {
		m.wait(t, "the last of "+to.Conversation, end)
	}
}
