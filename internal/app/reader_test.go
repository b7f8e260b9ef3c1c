package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestReaderOptions_SlowCall: slow calls count as overload, and an endpoint alone makes none slow: its Update is accepted with
// the heartbeat after four fifths of the task's timeout.
func TestReaderOptions_SlowCall(t *testing.T) {
	t.Parallel()
	o := readerOptions(Config{Metrics: telemetry.NewMetrics()}, nil, &intake.Intake{}, &rollout.Files{Name: "one"})
	require.GreaterOrEqual(t, o.SlowCall, dispatch.WorkflowTaskTimeout)
	require.LessOrEqual(t, o.SlowCall, 5*time.Second)
}

// TestReaderOptions_Announcement: a starter announces its bot files under the name by which it knows its own announcement.
func TestReaderOptions_Announcement(t *testing.T) {
	t.Parallel()
	bots, err := bot.NewStore(t.TempDir(), bot.Options{Dialects: dialects.Specs()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	o := readerOptions(Config{Metrics: telemetry.NewMetrics()}, nil, &intake.Intake{}, &rollout.Files{Bots: bots, Name: "one"})
	require.Equal(t, "one", o.Name)
	require.Equal(t, bots.Current().Digest(), o.Announcement())
}
