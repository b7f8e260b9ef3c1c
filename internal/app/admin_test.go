package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// browser keeps no connection, so that none is left when the test ends.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := browser.Get(url)
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode, string(text)
}

func TestAdmin_ReadyzVerbose(t *testing.T) {
	t.Parallel()
	dir := botDir(t, goodBot)
	for name, text := range map[string]string{"bad.yaml": "bot: bad\ncolour: red\n", "c\x1b[2J\nbot file d\u202e.yml": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	bots, err := bot.NewStore(dir, bot.Options{Dialects: dialects.Specs()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var state adminapi.Readiness
	p := parts{log: slog.New(slog.DiscardHandler)}
	a, err := startAdmin(Config{AdminAddr: "127.0.0.1:0", Metrics: telemetry.NewMetrics()}, &state, &p)
	require.NoError(t, err)
	state.Explain((&base{bots: bots}).botFiles)
	state.Begin(func(context.Context) error { return nil })
	root := "http://" + a.Addr()
	status, body := get(t, root+"/readyz?verbose")
	require.Equal(t, http.StatusOK, status, "a bad bot file makes no process unready")
	require.Equal(t, "ready\nbot files: 1 bots, 2 bad files, last load without a bad file never\n"+
		"bot file bad.yaml:2:1: $.colour: unknown key\n"+
		`bot file "c\x1b[2J\nbot file d\u202e.yml": the name of a bot file ends in .yaml: rename it`+"\n", body)
	_, body = get(t, root+"/readyz")
	require.Equal(t, "ready\n", body)
	require.NoError(t, p.stop(t.Context()))
}
