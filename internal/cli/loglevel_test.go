package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/telemetry"
)

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

func TestFollowLevel_Signals(t *testing.T) { //nolint:paralleltest // signals are those of the process
	var out lockedBuffer
	log, level, err := telemetry.NewLeveledLogger(&out, "warn", telemetry.FormatText)
	require.NoError(t, err)
	stop := followLevel(level, log)
	defer stop()

	require.False(t, log.Enabled(t.Context(), slog.LevelDebug))
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGUSR1))
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "level=debug") }, time.Minute, time.Millisecond)
	require.True(t, log.Enabled(t.Context(), slog.LevelDebug))
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGUSR2))
	require.Eventually(t, func() bool { return strings.Contains(out.String(), `level="as configured"`) }, time.Minute, time.Millisecond)
	require.False(t, log.Enabled(t.Context(), slog.LevelInfo))
	require.True(t, log.Enabled(t.Context(), slog.LevelWarn))
}
