package adminapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/telemetry"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const soon = time.Minute // no test waits this long unless something is broken

var discardLogger = slog.New(slog.DiscardHandler)

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

func TestListener_AdminAnswersTheOperator(t *testing.T) {
	t.Parallel()
	var problem atomic.Pointer[error]
	var state Readiness
	state.Begin(func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			return errors.New("the question has no timeout")
		}
		if err := problem.Load(); err != nil {
			return *err
		}
		return nil
	})
	m := telemetry.NewMetrics()
	a, err := Start("127.0.0.1:0", m, &state, discardLogger)
	require.NoError(t, err)
	root := "http://" + a.Addr()

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

	problem.Store(nil)
	state.Stop()
	status, body = get(t, root+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "not ready: the process is stopping\n", body)
	status, _ = get(t, root+"/healthz")
	require.Equal(t, http.StatusOK, status, "a process that stops is alive")

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

	require.NoError(t, a.Stop(t.Context()))
	_, err = browser.Get(root + "/healthz")
	require.Error(t, err)
}

// TestListener_HostileText: texts of other parties are on one line each, and no terminal obeys them.
func TestListener_HostileText(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b]0;x\x07\r\nready\u009b2J\u202e"
	const shown = `a\u001b]0;x\u0007\u000d ready\u009b2J\u202e`
	var state Readiness
	state.Begin(func(context.Context) error { return errors.New(hostile) })
	state.Explain(func() []string { return []string{hostile, "the second detail"} })
	a, err := Start("127.0.0.1:0", telemetry.NewMetrics(), &state, discardLogger)
	require.NoError(t, err)
	root := "http://" + a.Addr()
	_, body := get(t, root+"/readyz?verbose")
	require.Equal(t, "not ready: "+shown+"\n"+shown+"\nthe second detail\n", body)
	state.End(errors.New(hostile))
	_, body = get(t, root+"/healthz")
	require.Equal(t, "not alive: "+shown+"\n", body)
	require.NoError(t, a.Stop(t.Context()))
}

func TestListener_AdminIsOptional(t *testing.T) {
	t.Parallel()
	a, err := Start("", telemetry.NewMetrics(), nil, discardLogger)
	require.NoError(t, err)
	require.Empty(t, a.Addr())
	require.Nil(t, a)
}

func TestAdmin_AddressInUse(t *testing.T) {
	t.Parallel()
	a, err := Start("127.0.0.1:0", telemetry.NewMetrics(), nil, discardLogger)
	require.NoError(t, err)
	_, err = Start(a.Addr(), telemetry.NewMetrics(), nil, discardLogger)
	require.ErrorContains(t, err, "admin listener: listen tcp "+a.Addr())
	require.NoError(t, a.Stop(t.Context()))
}
