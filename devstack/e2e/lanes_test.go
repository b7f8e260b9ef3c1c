package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// startStack runs everything in this process with the usual bot.
func startStack(t *testing.T, samples *endpoint.Endpoint) *engine {
	t.Helper()
	_, err := samples.Start()
	require.NoError(t, err)
	_, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples})
	return e
}

// startWith runs everything in this process until the test ends, and a bot engine beside it.
func startWith(t *testing.T, o stack.Options) (*stack.Stack, *engine) {
	t.Helper()
	o.Engine = true
	if o.TemporalPostgres == "" {
		o.TemporalPostgres, _ = temporalDatabase(t)
	}
	s, err := stack.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s, newEngine(t, s.NATS.URL())
}

func ok(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"response":["ok"]}`)
}

func TestConversations_KeepTheirOrder(t *testing.T) { //nolint:tparallel // each part counts what the endpoint receives
	t.Parallel()
	samples := endpoint.New(endpoint.Options{LedgerSize: 20_000})
	samples.Handle("/orders", ok)
	e := startStack(t, samples)

	t.Run("60 events never overlap", func(t *testing.T) {
		var ids []string
		for range 60 {
			ids = append(ids, e.request(t, "shop", "ordered", "ORDER"))
		}
		for i, r := range e.replied(t, "shop", "ordered", 60) {
			require.Equal(t, ids[i], r.EventID)
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
		}
		require.Equal(t, 1, samples.Ledger().MaxOverlap(endpoint.PerPath))
	})

	t.Run("forty slow ones do not delay a quick one", func(t *testing.T) {
		release := make(chan struct{})
		samples.Handle("/held", func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
				ok(w, r)
			case <-r.Context().Done():
			}
		})
		for i := range 40 {
			e.request(t, "shop", fmt.Sprintf("slow-%d", i), "HELD")
		}
		quick := e.request(t, "shop", "quick", "ORDER")
		require.Equal(t, quick, e.replied(t, "shop", "quick", 1)[0].EventID)
		require.Empty(t, e.of("shop", "slow-0"), "the slow ones still wait")
		close(release)
		for i := range 40 {
			require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", fmt.Sprintf("slow-%d", i), 1)[0].Outcome)
		}
		held := map[string]bool{}
		for _, entry := range samples.Ledger().ByPath("/held") {
			held[entry.WebhookID] = true
		}
		require.Len(t, held, 40)
	})

	t.Run("an event published five times is answered once", func(t *testing.T) {
		id := uuid.NewString()
		data := `{"step":"ORDER"}`
		before := len(samples.Ledger().ByPath("/orders"))
		e.publish(t, "shop", "again", id, schemas.TypeStepRequested, data)
		e.publish(t, "shop", "again", id, schemas.TypeStepRequested, data) // dropped by its Nats-Msg-Id
		event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested",`+
			`"time":"2026-11-20T12:00:00Z","subject":"again","data":%s}`, id, data)
		for range 3 { // without a Nats-Msg-Id JetStream stores them all
			_, err := e.js.Publish(t.Context(), "hookturn.events.default.shop.again", []byte(event))
			require.NoError(t, err)
		}
		last := e.request(t, "shop", "again", "ORDER")
		replies := e.replied(t, "shop", "again", 2)
		require.Len(t, replies, 2)
		require.Equal(t, []string{id, last}, []string{replies[0].EventID, replies[1].EventID})
		require.Len(t, samples.Ledger().ByPath("/orders"), before+2)
	})

	t.Run("an event of a megabyte passes, also through a retry", func(t *testing.T) {
		params := strings.Repeat("<&>", 1<<20/3-200)
		for _, name := range []string{"ORDER", "FLAKY", "ORDER"} {
			e.publish(t, "shop", "large", uuid.NewString(), schemas.TypeStepRequested,
				fmt.Sprintf(`{"step":%q,"params":{"large":%q}}`, name, params))
		}
		for _, r := range e.replied(t, "shop", "large", 3) {
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
		}
	})

	t.Run("malformed events become dead letters byte for byte", func(t *testing.T) {
		for name, payload := range map[string]string{
			"broken JSON":    `{"specversion":"1.0",`,
			"no JSON":        "\x00\x01\x02",
			"empty":          "",
			"wrong types":    `{"specversion":1,"id":[],"source":{},"type":true,"time":0,"subject":null,"data":"x"}`,
			"invalid UTF-8":  "{\"specversion\":\"1.0\",\"id\":\"\xff\xfe\"}",
			"20,000 deep":    strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
			"as large as it": `{"specversion":"1.0","x":"` + strings.Repeat("a", 1<<20-200) + `"}`,
			"other subject": `{"specversion":"1.0","id":"a","source":"/x","type":"hookturn.step.requested",` +
				`"time":"2026-11-20T12:00:00Z","subject":"another","data":{"step":"ORDER"}}`,
		} {
			_, err := e.js.Publish(t.Context(), "hookturn.events.default.shop.malformed", []byte(payload))
			require.NoError(t, err, name)
			require.NoError(t, awaitDeadLetter(e.operator, "shop", "bad_event", []byte(payload)), name)
		}
		_, err := e.js.Publish(t.Context(), "hookturn.events.default.unknown.c-1", []byte(`{"specversion":"1.0","id":"n-1",`+
			`"source":"/x","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z","subject":"c-1","data":{"step":"A"}}`))
		require.NoError(t, err)
		require.NoError(t, awaitLetter(e.operator, "unknown", "unknown_bot"))
		require.Empty(t, e.of("shop", "malformed"))
	})
}

func TestConversations_LongOneContinuesAsNew(t *testing.T) {
	t.Parallel()
	const events = 500 // a run continues as new after 128
	samples := endpoint.New(endpoint.Options{LedgerSize: 2 * events})
	samples.Handle("/orders", ok)
	e := startStack(t, samples)
	var ids []string
	for range events {
		ids = append(ids, e.request(t, "shop", "long", "ORDER"))
	}
	runs := map[string]bool{}
	replies := e.replied(t, "shop", "long", events)
	require.Len(t, replies, events)
	for i, r := range replies {
		require.Equal(t, ids[i], r.EventID)
		require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
		runs[r.Workflow.RunID] = true
	}
	require.Greater(t, len(runs), 2, "the conversation crossed several continue-as-new")
	require.Len(t, samples.Ledger().ByPath("/orders"), events)
	require.Equal(t, 1, samples.Ledger().MaxOverlap(endpoint.PerPath))
}
