package telemetry_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"

	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// labels lists hookturn's metrics and their labels. A label must not be an id, so that the configuration bounds the series.
var labels = map[string][]string{
	"hookturn_events_total":                          {"bot", "result", "tenant"},
	"hookturn_event_lag_seconds":                     {"bot", "tenant"},
	"hookturn_events_held":                           nil,
	"hookturn_events_taken_over_total":               nil,
	"hookturn_dead_letters_total":                    {"reason"},
	"hookturn_events_recovered_total":                nil,
	"hookturn_scripts_not_run_total":                 {"bot", "kind", "tenant"},
	"hookturn_retention_deleted_total":               {"bot", "place", "tenant"},
	"hookturn_attempts_total":                        {"bot", "result", "step", "tenant"},
	"hookturn_attempt_duration_seconds":              {"bot", "step", "tenant"},
	"hookturn_replies_total":                         {"bot", "tenant", "type"},
	"hookturn_publish_duration_seconds":              nil,
	"hookturn_bot_file_loads_total":                  {"result"},
	"hookturn_bot_files_bad":                         nil,
	"hookturn_bot_files_last_load_timestamp_seconds": nil,
	"hookturn_nats_write_failures_total":             {"reason"},
	"hookturn_requests_refused_total":                {"bot", "reason", "step", "tenant"},
	"hookturn_endpoint_state":                        {"bot", "state", "tenant", "url"},
	"hookturn_gateway_duration_seconds":              {"route", "status"},
	"hookturn_gateway_share_exceeded_total":          {"share", "tenant"},
	"hookturn_sockets":                               nil,
	"hookturn_frames_total":                          {"name", "result"},
	"hookturn_jq_runs_total":                         {"result", "tenant"},
	"hookturn_event_retries_total":                   {"kind", "tenant"},
	"hookturn_backlog_events":                        nil,
	"hookturn_bot_paused":                            {"bot", "tenant"},
	"hookturn_conversations_held":                    {"state"},
	"hookturn_parked_tenants":                        nil,
	"hookturn_kept_bytes":                            nil,
	"hookturn_slots":                                 {"state", "tenant"},
	"hookturn_build_info":                            {"goversion", "revision", "version"},
	"hookturn_step_answers_total":                    {"bot", "result", "step", "tenant"},
	"hookturn_step_duration_seconds":                 {"bot", "outcome", "step", "tenant"},
	"hookturn_step_slots_used_ratio":                 {"task_queue"},
	"hookturn_stream_used_ratio":                     {"stream"},
	"hookturn_stream_oldest_seconds":                 {"stream"},
}

// use calls every method that records a value.
func use(t *testing.T, m *telemetry.Metrics) {
	t.Helper()
	m.Event(schemas.BotID{Tenant: "acme", Bot: "shop"}, "accepted")
	m.Accepted(schemas.BotID{Tenant: "acme", Bot: "shop"}, 20*time.Millisecond)
	m.Attempt(schemas.BotID{Tenant: "acme", Bot: "shop"}, "ORDER", "2xx", 300*time.Millisecond, "")
	m.Reply(schemas.BotID{Tenant: "acme", Bot: "shop"}, "hookturn.step.replied", 2*time.Millisecond)
	m.BotFiles(0, time.UnixMilli(1700000000500), nil)
	m.BotFiles(2, time.UnixMilli(1700000000500), errors.New("line 3"))
	m.Retried("acme", "unavailable")
	for range 2 {
		m.WatchReader(func() telemetry.Reader {
			return telemetry.Reader{
				Backlog: 70, Held: 1, Conversations: 4, Retrying: 1, ParkedTenants: 2, KeptBytes: 512,
				Slots: map[string]telemetry.Slots{"acme": {Running: 3, Waiting: 9, Limit: 80}},
			}
		})
	}
	m.Build("v0.0.9", "0123", "go1.26.8")
	m.Build("v0.1.0", "4567", "go1.26.8")
	m.Step(schemas.BotID{Tenant: "acme", Bot: "shop"}, "ORDER", "success", "in_time", 200*time.Millisecond)
	m.Step(schemas.BotID{Tenant: "acme", Bot: "shop"}, "", "rejected", "", 40*time.Minute)
	m.WatchSlots("hookturn", func() float64 { return 0.25 })
	for range 2 { // a worker and a starter in one process
		m.WatchStreams(func() []telemetry.Stream {
			return []telemetry.Stream{{Name: "HOOKTURN_REPLIES", Used: 0.5, Oldest: time.Minute}}
		})
	}
	m.TakenOver()
	m.DeadLetter("bad_event")
	m.Recovered()
	m.ScriptNotRun(schemas.BotID{Tenant: "acme", Bot: "shop"}, "sandbox_unavailable")
	m.RetentionDeleted(schemas.BotID{Tenant: "acme", Bot: "shop"}, "replies", 3)
	m.NATSWriteReasons([]string{"no_space", "timeout"})
	m.NATSWriteFailed("no_space")
	m.Refused(schemas.BotID{Tenant: "acme", Bot: "shop"}, "ORDER", "circuit_open")
	m.Gateway("POST /callbacks/{token}", 202, 5*time.Millisecond)
	_, err := m.WatchEndpoints(func() []telemetry.Endpoint {
		return []telemetry.Endpoint{{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, URL: "https://shop.example/orders", State: "open"}}
	})
	require.NoError(t, err)
	_, err = m.WatchPausedBots(func() []schemas.BotID { return []schemas.BotID{{Tenant: "acme", Bot: "shop"}} })
	require.NoError(t, err)
	m.ShareExceeded("acme", "requests")
	m.Sockets(3)
	m.Sockets(-1)
	m.Frame("message", "ok")
	m.Program("acme", "denied")
}

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, http.StatusOK, answer.Code)
	return answer.Body.String()
}

func TestMetrics_RecordedValues(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	use(t, m)
	text := scrape(t, m)
	for _, line := range []string{
		`hookturn_events_total{bot="shop",result="accepted",tenant="acme"} 1`,
		`hookturn_event_lag_seconds_bucket{bot="shop",tenant="acme",le="0.025"} 1`,
		`hookturn_event_lag_seconds_sum{bot="shop",tenant="acme"} 0.02`,
		`hookturn_attempts_total{bot="shop",result="2xx",step="ORDER",tenant="acme"} 1`,
		`hookturn_attempt_duration_seconds_count{bot="shop",step="ORDER",tenant="acme"} 1`,
		`hookturn_replies_total{bot="shop",tenant="acme",type="hookturn.step.replied"} 1`,
		`hookturn_publish_duration_seconds_count 1`,
		`hookturn_bot_file_loads_total{result="good"} 1`,
		`hookturn_bot_file_loads_total{result="bad"} 1`,
		`hookturn_event_retries_total{kind="unavailable",tenant="acme"} 1`,
		`hookturn_backlog_events 70`, // the same stream for both readers
		`hookturn_events_held 2`,
		`hookturn_conversations_held{state="retry"} 2`,
		`hookturn_conversations_held{state="ready"} 6`,
		`hookturn_parked_tenants 4`,
		`hookturn_kept_bytes 1024`,
		`hookturn_slots{state="running",tenant="acme"} 6`,
		`hookturn_slots{state="waiting",tenant="acme"} 18`,
		`hookturn_slots{state="limit",tenant="acme"} 160`,
		`hookturn_events_taken_over_total 1`,
		`hookturn_dead_letters_total{reason="bad_event"} 1`,
		`hookturn_events_recovered_total 1`,
		`hookturn_scripts_not_run_total{bot="shop",kind="sandbox_unavailable",tenant="acme"} 1`,
		`hookturn_retention_deleted_total{bot="shop",place="replies",tenant="acme"} 3`,
		`hookturn_requests_refused_total{bot="shop",reason="circuit_open",step="ORDER",tenant="acme"} 1`,
		`hookturn_endpoint_state{bot="shop",state="open",tenant="acme",url="https://shop.example/orders"} 1`,
		`hookturn_gateway_duration_seconds_count{route="POST /callbacks/{token}",status="202"} 1`,
		`hookturn_sockets 2`,
		`hookturn_frames_total{name="message",result="ok"} 1`,
		`hookturn_jq_runs_total{result="denied",tenant="acme"} 1`,
		`hookturn_build_info{goversion="go1.26.8",revision="4567",version="v0.1.0"} 1`,
		`hookturn_step_answers_total{bot="shop",result="in_time",step="ORDER",tenant="acme"} 1`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="success",step="ORDER",tenant="acme",le="0.25"} 1`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="rejected",step="_",tenant="acme",le="900"} 0`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="rejected",step="_",tenant="acme",le="3600"} 1`,
		`hookturn_step_slots_used_ratio{task_queue="hookturn"} 0.25`,
		`hookturn_stream_used_ratio{stream="HOOKTURN_REPLIES"} 0.5`,
		`hookturn_stream_oldest_seconds{stream="HOOKTURN_REPLIES"} 60`,
		`hookturn_nats_write_failures_total{reason="no_space"} 1`,
		`hookturn_nats_write_failures_total{reason="timeout"} 0`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.Contains(t, text, "go_goroutines ", "metrics of the Go runtime are in the same registry")
	require.NotContains(t, text, "line 3", "the text of an error is not a label")
}

func TestMetrics_LabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	use(t, m)
	families, err := m.Registry().Gather()
	require.NoError(t, err)
	found := map[string][]string{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "hookturn_") {
			continue
		}
		require.NotEmpty(t, family.GetHelp())
		for _, metric := range family.GetMetric() {
			var names []string
			for _, label := range metric.GetLabel() {
				names = append(names, label.GetName())
			}
			found[family.GetName()] = names
		}
	}
	require.Equal(t, labels, found)
}

// TestMetrics_Documented compares the table of docs/operations.md with the metrics.
func TestMetrics_Documented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(hookturn_[a-z_]+)` \\| ([a-z_, ]*) ?\\|").FindAllStringSubmatch(string(page), -1) {
		names := strings.FieldsFunc(row[2], func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(names)
		documented[row[1]] = names
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(labels)), slices.Collect(maps.Keys(documented)))
	for name, want := range labels {
		require.ElementsMatch(t, want, documented[name], name)
	}
}

func TestMetrics_SeparateRegistries(t *testing.T) {
	t.Parallel()
	one, two := telemetry.NewMetrics(), telemetry.NewMetrics()
	one.TakenOver()
	require.Contains(t, scrape(t, one), "hookturn_events_taken_over_total 1\n")
	require.Contains(t, scrape(t, two), "hookturn_events_taken_over_total 0\n")
}

// TestMetrics_Nil calls every method that records a value on a nil *Metrics. Methods with a result are for processes, which
// always have metrics.
func TestMetrics_Nil(t *testing.T) {
	t.Parallel()
	var none *telemetry.Metrics
	value := reflect.ValueOf(none)
	var called []string
	for i := range value.NumMethod() {
		method, name := value.Method(i), value.Type().Method(i).Name
		if method.Type().NumOut() > 0 {
			continue
		}
		args := make([]reflect.Value, method.Type().NumIn())
		for n := range args {
			args[n] = reflect.Zero(method.Type().In(n))
		}
		require.NotPanics(t, func() { method.Call(args) }, "(*Metrics)(nil).%s", name)
		called = append(called, name)
	}
	require.Equal(t, []string{
		"Accepted", "Attempt", "BotFiles", "Build", "DeadLetter", "Event", "Frame", "Gateway", "NATSWriteFailed", "NATSWriteReasons", "Program",
		"Recovered", "Refused", "Reply", "RetentionDeleted", "Retried", "ScriptNotRun", "ShareExceeded", "Sockets", "Step", "TakenOver",
	}, called)
}

func TestMetrics_WatchEndpointsStops(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	stop, err := m.WatchEndpoints(func() []telemetry.Endpoint { return []telemetry.Endpoint{{URL: "u", State: "disabled"}} })
	require.NoError(t, err)
	require.Contains(t, scrape(t, m), "hookturn_endpoint_state")
	stop()
	require.NotContains(t, scrape(t, m), "hookturn_endpoint_state")
	_, err = m.WatchEndpoints(func() []telemetry.Endpoint { return nil })
	require.NoError(t, err, "another worker in the same process")
}

func TestMetrics_LibrariesMeasureInSeconds(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	meter, err := m.Meter()
	require.NoError(t, err)
	latency, err := meter.Float64Histogram("temporal_request_latency", metric.WithUnit("s"))
	require.NoError(t, err)
	latency.Record(t.Context(), 0.03)
	require.Contains(t, scrape(t, m), `temporal_request_latency_seconds_bucket{le="0.05"} 1`)
}
