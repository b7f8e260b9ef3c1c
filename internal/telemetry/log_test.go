package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/telemetry"
)

func TestNewLogger_Level(t *testing.T) {
	t.Parallel()
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for i, name := range []string{"debug", "info", "warn", "error"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log, err := telemetry.NewLogger(&out, name, "text")
			require.NoError(t, err)
			for _, level := range levels {
				log.Log(t.Context(), level, "line")
			}
			require.Equal(t, len(levels)-i, strings.Count(out.String(), "msg=line"), out.String())
		})
	}
}

func TestNewLogger_Format(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "info", "json")
	require.NoError(t, err)
	log.Info("step ended", "step", "ORDER")
	line := map[string]any{}
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "step ended", line["msg"])
	require.Equal(t, "ORDER", line["step"])

	out.Reset()
	log, err = telemetry.NewLogger(&out, "INFO", "text")
	require.NoError(t, err, "levels are valid in capitals too")
	log.Info("step ended", "step", "ORDER")
	require.Contains(t, out.String(), `level=INFO msg="step ended" step=ORDER`)
}

func TestNewLogger_AutoFormat(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	log, err := telemetry.NewLogger(write, "info", telemetry.FormatAuto)
	require.NoError(t, err)
	log.Info("step ended", "retry_in", 1500*time.Millisecond)
	require.NoError(t, write.Close())
	line := map[string]any{}
	require.NoError(t, json.NewDecoder(read).Decode(&line), "a pipe is not a terminal")
	require.Equal(t, "1.5s", line["retry_in"], "durations are readable")
}

func TestNewLeveledLogger_LevelChanges(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, level, err := telemetry.NewLeveledLogger(&out, "warn", telemetry.FormatText)
	require.NoError(t, err)
	log.Info("first")
	level.Debug()
	log.Debug("second")
	level.Reset()
	log.Info("third")
	require.Equal(t, 1, strings.Count(out.String(), "msg="), out.String())
	require.Contains(t, out.String(), "second")
}

func TestNewLogger_InvalidOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ level, format, want string }{
		"level":     {"loud", "text", `invalid log level "loud": use debug, info, warn or error`},
		"no level":  {"", "text", `invalid log level "": use debug, info, warn or error`},
		"format":    {"info", "xml", `invalid log format "xml": use auto, text or json`},
		"no format": {"info", "", `invalid log format "": use auto, text or json`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := telemetry.NewLogger(&bytes.Buffer{}, c.level, c.format)
			require.EqualError(t, err, c.want)
		})
	}
}

func TestLogger_TraceOfTheContext(t *testing.T) {
	t.Parallel()
	for _, format := range []string{telemetry.FormatText, telemetry.FormatJSON} {
		var out strings.Builder
		logger, err := telemetry.NewLogger(&out, "info", format)
		require.NoError(t, err)
		ctx := telemetry.WithTrace(t.Context(), telemetry.TraceID("0af7"))
		logger.InfoContext(ctx, "one")
		logger.With("partition", 1).InfoContext(ctx, "two")
		logger.InfoContext(ctx, "three", telemetry.KeyTrace, "0af7")
		require.Equal(t, 3, strings.Count(out.String(), "0af7"), out.String())
		out.Reset()
		logger.InfoContext(telemetry.WithTrace(ctx, telemetry.TraceID("")), "no trace")
		logger.InfoContext(t.Context(), "no trace")
		require.NotContains(t, out.String(), "trace_id")
	}
}

// TestLogger_HostileText: lines are read in terminals, and contain text of engines, endpoints and scripts.
func TestLogger_HostileText(t *testing.T) {
	t.Parallel()
	const hostile = "x\u009b31m\u007f\u202ey"
	for _, format := range []string{telemetry.FormatText, telemetry.FormatJSON} {
		var out strings.Builder
		logger, err := telemetry.NewLogger(&out, "info", format)
		require.NoError(t, err)
		logger.Info("event rejected", "error", errors.New(hostile), hostile, hostile)
		require.NotContains(t, out.String(), "\u009b")
		require.NotContains(t, out.String(), "\u007f")
		require.NotContains(t, out.String(), "\u202e")
		require.Contains(t, out.String(), `x\u009b31m`)
		if format == telemetry.FormatJSON {
			var line map[string]string
			require.NoError(t, json.Unmarshal([]byte(out.String()), &line))
			require.Equal(t, hostile, line["error"])
		}
	}
}
