package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestReaderOptions_SlowCall: slow calls count as overload, and an endpoint alone makes none slow: its Update is accepted with
// the heartbeat after four fifths of the task's timeout.
func TestReaderOptions_SlowCall(t *testing.T) {
	t.Parallel()
	o := readerOptions(Config{Metrics: telemetry.NewMetrics()}, nil, &intake.Intake{})
	require.GreaterOrEqual(t, o.SlowCall, dispatch.WorkflowTaskTimeout)
	require.LessOrEqual(t, o.SlowCall, 5*time.Second)
}
