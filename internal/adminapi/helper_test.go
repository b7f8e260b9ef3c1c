package adminapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
)

const channelsFile = `
bot: shop2
secrets: {hook: {env: HOOK}, sync: {env: SYNC}}
scripts: {hook: {file: hook.py, timeout: 45s}}
channels:
  - {code: hook, type: public, token_local: hook, recv_svcscriptcode: hook}
  - {code: sync, type: public, token_local: sync, recv_svcscriptcode: hook, opts: {issync: true, recv_timeout: 1}}
`

type botSet struct{ *bot.Set }

func (b botSet) Current() *bot.Set { return b.Set }

func loadBots(t *testing.T) botSet {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop2.yaml"), []byte(channelsFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hook.py"), []byte("def main(event, context): pass"), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, LookupEnv: func(name string) (string, bool) {
		value, ok := map[string]string{"HOOK": "0123456789abcdef-hook", "SYNC": "0123456789abcdef-sync"}[name]
		return value, ok
	}})
	require.NoError(t, err)
	return botSet{set}
}

func operatorsOf(t *testing.T, text string) *Operators {
	t.Helper()
	path := filepath.Join(t.TempDir(), "operators")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	operators, err := ReadOperators(path, discardLogger)
	require.NoError(t, err)
	return operators
}

func decoded(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body)
	return body
}

func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, kind fault.Kind, detail string) httpapi.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, status, p.Status)
	require.Equal(t, kind, p.Kind)
	require.Contains(t, p.Detail, detail)
	if status == http.StatusServiceUnavailable {
		require.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	return p
}
