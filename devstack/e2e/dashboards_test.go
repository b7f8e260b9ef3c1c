package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/schemas"
)

// notHere are metrics of states that this test does not cause, or that are over before a scrape: their panels stay empty.
var notHere = []string{
	"hookturn_event_retries_total", "hookturn_nats_write_failures_total", "hookturn_jq_runs_total", "hookturn_slots",
	"hookturn_scripts_not_run_total",
}

// TestDashboards runs a Prometheus that scrapes the stack, and each query of each dashboard in it: all return data.
func TestDashboards(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	samples.Handle("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), fmt.Appendf(nil, `bot: shop
base_urls: {test: %q}
steps:
  ORDER: {webhook: {path: /orders}}
  BROKEN: {webhook: {path: /broken, retry: {max_attempts: 1}, limits: {trip_after: 1, open_for: 5m}}}
`, samples.URL()), 0o600))
	s, e := startWith(t, stack.Options{
		Bots: dir, Endpoint: samples, AdminAddr: "127.0.0.1:0", Gateway: app.Gateway{Addr: "127.0.0.1:0"},
	})
	p := startPrometheus(t, s.Starter.AdminAddr())
	load := func() error { // counters that grow between two scrapes
		for i, name := range []string{"ORDER", "BROKEN", "UNKNOWN"} {
			err := e.send("shop", fmt.Sprintf("c-%d", i), fmt.Sprintf("e%d-%d", i, time.Now().UnixNano()), schemas.TypeStepRequested,
				fmt.Sprintf(`{"step":%q}`, name), nil)
			if err != nil {
				return err
			}
		}
		// The next step finds the run ended that the starter remembers: a request to Temporal that fails.
		err := e.send("shop", "c-0", fmt.Sprintf("end-%d", time.Now().UnixNano()), schemas.TypeConversationEnded, `{}`, nil)
		if err != nil {
			return err
		}
		if _, err := e.js.Publish(t.Context(), "hookturn.events.default.shop.c-1", []byte(`{`)); err != nil {
			return err
		}
		answer, err := http.Get("http://" + s.Starter.GatewayAddr() + "/openapi.json")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}
	queries := dashboardQueries(t)
	require.Greater(t, len(queries), 40)
	empty := queries
	require.Eventually(t, func() bool {
		if load() != nil {
			return false
		}
		empty = slices.DeleteFunc(slices.Clone(empty), p.answers)
		return len(empty) == 0
	}, 3*patience, 2*time.Second, "no data: %v", &empty)
	require.Eventually(t, func() bool { // a rule sees what was scraped before it ran
		return load() == nil && p.answers(`hookturn:step_answers_bad:ratio_rate5m`)
	}, 3*patience, 2*time.Second, "the recording rules work on real series")
}

// dashboardQueries returns the queries of all dashboards with their variables set.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	files, err := filepath.Glob("../../deploy/grafana/*.json")
	require.NoError(t, err)
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$tenant", ".*", "$bot", ".*")
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var board struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
		require.NoError(t, json.Unmarshal(text, &board))
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				silent := slices.ContainsFunc(notHere, func(name string) bool { return strings.Contains(target.Expr, name) })
				if !silent {
					queries = append(queries, variables.Replace(target.Expr))
				}
			}
		}
	}
	return queries
}

// prometheusServer is a running Prometheus.
type prometheusServer struct{ url string }

// startPrometheus runs a Prometheus that scrapes an address each second and evaluates hookturn's rules.
func startPrometheus(t *testing.T, target string) *prometheusServer {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	require.NoError(t, err, "tools/setup.sh --tests installs it")
	rules, err := filepath.Abs("../../deploy/prometheus/hookturn.rules.yaml")
	require.NoError(t, err)
	dir := t.TempDir()
	text, err := os.ReadFile(rules)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"),
		[]byte(strings.ReplaceAll(string(text), "interval: 30s", "interval: 1s")), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - {job_name: hookturn, static_configs: [{targets: [%q]}]}
`, target), 0o600))
	addr := freeAddr()
	run := exec.CommandContext(t.Context(), program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	require.NoError(t, run.Start())
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	p := &prometheusServer{url: "http://" + addr}
	require.Eventually(t, func() bool {
		answer, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}, patience, 50*time.Millisecond)
	return p
}

// answers reports whether a query has a result yet.
func (p *prometheusServer) answers(expr string) bool {
	answer, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var found struct {
		Data struct{ Result []any }
	}
	err = json.NewDecoder(answer.Body).Decode(&found)
	return err == nil && answer.StatusCode == http.StatusOK && len(found.Data.Result) > 0
}
