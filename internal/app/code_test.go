package app

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/activities"
)

// TestAnswerScript_Panic: a panic fails the request, and the worker goes on.
func TestAnswerScript_Panic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	answer := answerScript(t.Context(), &activities.Code{}, slog.New(slog.NewTextHandler(&log, nil)),
		[]byte(`{"plan":{"code":{"script":"x"}}}`), 1<<20)
	require.Contains(t, string(answer), `"kind":"internal"`)
	require.Contains(t, log.String(), "running a script panicked")
	require.Contains(t, string(answerScript(t.Context(), nil, nil, []byte("{"), 1<<20)), "invalid request")
}
