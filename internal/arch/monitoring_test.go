package arch

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

const rulesFile = "deploy/prometheus/hookturn.rules.yaml"

// promtool runs Prometheus's tool in the directory of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "tools/setup.sh --tests installs it (Debian: prometheus)")
	run := exec.CommandContext(t.Context(), path, args...)
	run.Dir = filepath.Join(repoRoot, "deploy", "prometheus")
	out, err := run.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestAlerts_Promtool(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "hookturn.rules.yaml")
	promtool(t, "test", "rules", "hookturn.rules.test.yaml", "hookturn.rules.days.test.yaml")
}

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	text, err := os.ReadFile(filepath.Join(repoRoot, rulesFile))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// TestAlerts_TestedAndDocumented checks that each alert has a test and a page, and that each page is of an alert.
func TestAlerts_TestedAndDocumented(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "prometheus", "hookturn.rules.test.yaml"))
	require.NoError(t, err)
	days, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "prometheus", "hookturn.rules.days.test.yaml"))
	require.NoError(t, err)
	var alerts []string
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert+".md")
		require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
		require.True(t, strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+r.Alert+".md"), r.Alert)
		require.Contains(t, string(tests)+string(days), r.Alert)
	}
	entries, err := os.ReadDir(filepath.Join(repoRoot, "docs", "runbooks"))
	require.NoError(t, err)
	var pages []string
	for _, e := range entries {
		pages = append(pages, e.Name())
	}
	require.ElementsMatch(t, alerts, pages)
}

// TestQueries_NameExportedMetrics compares the metrics and labels in dashboards and rules with the table of
// docs/operations.md, which a test of internal/telemetry compares with the programs. TestDashboards in devstack runs the
// queries.
func TestQueries_NameExportedMetrics(t *testing.T) {
	t.Parallel()
	exported := exportedMetrics(t)
	queries := map[string]string{}
	for _, r := range readRules(t) {
		queries[r.Alert+r.Record] = r.Expr
	}
	dashboards, err := filepath.Glob(filepath.Join(repoRoot, "deploy", "grafana", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, dashboards)
	for _, path := range dashboards {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var board struct {
			UID    string
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &board))
		require.Equal(t, "hookturn-"+strings.TrimSuffix(filepath.Base(path), ".json"), board.UID)
		for _, panel := range board.Panels {
			require.NotEmpty(t, panel.Targets, panel.Title)
			for _, target := range panel.Targets {
				queries[board.UID+": "+panel.Title+": "+target.Expr] = target.Expr
			}
		}
	}
	for name, query := range queries {
		require.Empty(t, unknownNames(query, exported), name)
	}
	require.Equal(t, []string{"hookturn_gone_total", "hookturn_sockets{tenant}"},
		unknownNames(`sum(hookturn_gone_total) + hookturn_sockets{tenant="a"}`, exported), "the check can fail")
}

func exportedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repoRoot, "docs", "operations.md"))
	require.NoError(t, err)
	exported := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(hookturn_[a-z_]+)` \\| ([a-z_, ]*) ?\\|").FindAllStringSubmatch(string(page), -1) {
		exported[row[1]] = strings.FieldsFunc(row[2], func(r rune) bool { return r == ',' || r == ' ' })
	}
	return exported
}

// unknownNames returns the metrics of hookturn in a query that no program exports, and labels that a metric does not have.
func unknownNames(query string, exported map[string][]string) (unknown []string) {
	for _, found := range regexp.MustCompile(`\bhookturn_([a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(query, -1) {
		name := "hookturn_" + found[1]
		labels, known := exported[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(name, suffix); cut && !known {
				labels, known = exported[base]
			}
		}
		if !known {
			unknown = append(unknown, name)
			continue
		}
		for _, label := range regexp.MustCompile(`([a-z_]+)\s*[=!]`).FindAllStringSubmatch(found[2], -1) {
			if !slices.Contains(append(labels, "instance", "namespace", "le"), label[1]) {
				unknown = append(unknown, name+"{"+label[1]+"}")
			}
		}
	}
	return unknown
}
