package telemetry_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestMetrics_Promtool checks names, units and help texts with Prometheus's own linter.
func TestMetrics_Promtool(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	require.NoError(t, err, "tools/setup.sh --tests installs it (Debian: prometheus)")
	m := telemetry.NewMetrics()
	use(t, m)
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = strings.NewReader(scrape(t, m))
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
}
