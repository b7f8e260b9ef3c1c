package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
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

func TestAdminAnswersTheOperator(t *testing.T) {
	t.Parallel()
	var problem atomic.Pointer[error]
	var state readiness
	state.begin(func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			return errors.New("the question has no timeout")
		}
		if err := problem.Load(); err != nil {
			return *err
		}
		return nil
	})
	p := parts{log: slog.New(slog.DiscardHandler)}
	m := telemetry.NewMetrics()
	a, err := startAdmin("127.0.0.1:0", m, &state, &p)
	require.NoError(t, err)
	root := "http://" + a.addr()

	status, body := get(t, root+"/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", body)

	status, body = get(t, root+"/readyz")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, "ready\n", body)

	away := errors.New("check Temporal: connection refused")
	problem.Store(&away)
	status, body = get(t, root+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "not ready: check Temporal: connection refused\n", body)
	status, _ = get(t, root+"/healthz")
	require.Equal(t, http.StatusOK, status, "a process that is not ready is alive")

	m.DeadLetter("bad_event")
	status, body = get(t, root+"/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `hookturn_dead_letters_total{reason="bad_event"} 1`)

	status, _ = get(t, root+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, status)
	answer, err := browser.Post(root+"/metrics", "text/plain", strings.NewReader(""))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)

	require.NoError(t, p.stop(t.Context()))
	_, err = browser.Get(root + "/healthz")
	require.Error(t, err)
}

func TestAdmin_ReadyzVerbose(t *testing.T) {
	t.Parallel()
	dir := botDir(t, goodBot)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("bot: bad\ncolour: red\n"), 0o600))
	bots, err := bot.NewStore(dir, bot.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var state readiness
	p := parts{log: slog.New(slog.DiscardHandler)}
	a, err := startAdmin("127.0.0.1:0", telemetry.NewMetrics(), &state, &p)
	require.NoError(t, err)
	state.explain((&base{bots: bots}).botFiles)
	state.begin(func(context.Context) error { return nil })
	root := "http://" + a.addr()
	status, body := get(t, root+"/readyz?verbose")
	require.Equal(t, http.StatusOK, status, "a bad bot file makes no process unready")
	require.Equal(t, "ready\nbot files: 1 bots, 1 bad files, last load without a bad file never\n"+
		"bot file bad.yaml:2:1: $.colour: unknown key\n", body)
	_, body = get(t, root+"/readyz")
	require.Equal(t, "ready\n", body)
	require.NoError(t, p.stop(t.Context()))
}

func TestAdminIsOptional(t *testing.T) {
	t.Parallel()
	p := parts{log: slog.New(slog.DiscardHandler)}
	a, err := startAdmin("", telemetry.NewMetrics(), nil, &p)
	require.NoError(t, err)
	require.Empty(t, a.addr())
	require.Empty(t, p.list)
}

func TestAdmin_AddressInUse(t *testing.T) {
	t.Parallel()
	p := parts{log: slog.New(slog.DiscardHandler)}
	a, err := startAdmin("127.0.0.1:0", telemetry.NewMetrics(), nil, &p)
	require.NoError(t, err)
	_, err = startAdmin(a.addr(), telemetry.NewMetrics(), nil, &p)
	require.ErrorContains(t, err, "admin listener: listen tcp "+a.addr())
	require.NoError(t, p.stop(t.Context()))
}
