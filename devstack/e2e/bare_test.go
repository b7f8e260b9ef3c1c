package e2e

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
)

const bareBot = `
bot: bare
secrets: {quick: {file: quick-token}}
scripts: {echo: {file: echo.py}}
channels:
  - {code: quick, type: public, token_local: quick, recv_svcscriptcode: echo, run: bare, opts: {issync: true, recv_timeout: 60}}
`

const echoScript = `
def main(event, context):
    if event["body"] == "raise":
        raise ValueError("for the builder")
    return {"statusCode": 200, "body": event["body"]}
`

// TestExec_BareChannel runs scripts of a channel with run: bare through gateway, NATS and a sandbox. Temporal learns nothing
// of them, and is not needed.
func TestExec_BareChannel(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef-quick"
	dir := t.TempDir()
	for name, text := range map[string]string{"bare.yaml": bareBot, "echo.py": echoScript, "quick-token": token} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	samples := endpoint.New(endpoint.Options{})
	_, err := samples.Start()
	require.NoError(t, err)
	s, _ := startWith(t, stack.Options{Bots: dir, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0"}, Code: true})
	require.NoError(t, s.NoCode)
	exec := func(body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Starter.GatewayAddr()+"/exec",
			strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		status, _, text, err := send(r)
		require.NoError(t, err)
		return status, text
	}
	status, text := exec("hello")
	require.Equal(t, http.StatusOK, status, text)
	require.Equal(t, "hello", text)
	status, text = exec("raise")
	require.Equal(t, http.StatusInternalServerError, status)
	require.Contains(t, text, "script_exception")
	require.NotContains(t, text, "for the builder")

	c, err := client.Dial(client.Options{HostPort: s.Temporal.Addr(), Namespace: s.Temporal.Namespace(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer c.Close()
	runs, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{})
	require.NoError(t, err)
	require.Zero(t, runs.GetCount())

	s.Temporal.Stop()
	status, text = exec("again")
	require.Equal(t, http.StatusOK, status, text)
	require.Equal(t, "again", text)
}
