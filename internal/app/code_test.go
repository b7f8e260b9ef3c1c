package app

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/bot"
)

// TestBotOptions_WheelReadOnce loads a hundred bot files that name one wheel, whose content changes afterwards while nothing
// else of the file does: no later load reads it.
func TestBotOptions_WheelReadOnce(t *testing.T) {
	t.Parallel()
	const file = "toy-1-py3-none-any.whl"
	packages, bots := t.TempDir(), t.TempDir()
	path := filepath.Join(packages, file)
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	info, err := os.Stat(path)
	require.NoError(t, err)
	text := fmt.Sprintf("packages: [{wheel: %s, sha256: \"%x\"}]\n", file, sha256.Sum256([]byte("content")))
	for i := range 100 {
		name := fmt.Sprintf("bot%d", i)
		require.NoError(t, os.WriteFile(filepath.Join(bots, name+".yaml"), []byte("bot: "+name+"\n"+text), 0o600))
	}
	options, err := BotOptions(Config{Packages: packages})
	require.NoError(t, err)
	_, err = bot.Load(bots, options)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(path, []byte("CONTENT"), 0o600))
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	_, err = bot.Load(bots, options)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 8)), 0o600))
	_, err = bot.Load(bots, options)
	require.ErrorContains(t, err, "has the SHA-256")
}

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
