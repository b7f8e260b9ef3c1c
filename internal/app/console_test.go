package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/natsclient"
)

func TestConsole_InvalidConfiguration(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Console{
		"console actions are allowed without a console: set --console-addr":  {Actions: true},
		"the console needs the operators' tokens: set --operator-token-file": {Addr: "127.0.0.1:0"},
		"check --console-ui-url or HOOKTURN_CONSOLE_UI_URL":                  {UI: "javascript:alert(1)"},
	} {
		_, err := StartStarter(t.Context(), Config{Bots: "bots", Console: c})
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, Console{}.validate(""))
	require.NoError(t, Console{Addr: "127.0.0.1:0", Actions: true, UI: "https://temporal.example/ui"}.validate("file"))
}

// consoleOf starts the console of a starter that has a base with a connection to NATS.
func consoleOf(t *testing.T, change func(*Config)) (*Starter, error) {
	t.Helper()
	tokens := filepath.Join(t.TempDir(), "operators")
	require.NoError(t, os.WriteFile(tokens, []byte("ann viewer viewer-token-0123456789"), 0o600))
	cfg := Config{
		NATSURL: startNATS(t).ClientURL(), Gateway: Gateway{OperatorToken: tokens}, Console: Console{Addr: "127.0.0.1:0"},
	}
	change(&cfg)
	cfg = cfg.withDefaults()
	bots, err := bot.NewStore(botDir(t, goodBot), bot.Options{Dialects: dialects.Specs()}, cfg.Log)
	require.NoError(t, err)
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: cfg.NATSURL}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	s := &Starter{parts: parts{log: cfg.Log}}
	t.Cleanup(func() { require.NoError(t, s.parts.stop(context.WithoutCancel(t.Context()))) })
	return s, s.startConsole(t.Context(), cfg, &base{
		bots: bots, js: js, streams: streams, temporal: &mocks.Client{}, namespace: "default",
	})
}

// logIn returns a browser that has logged in.
func logIn(t *testing.T, at string, trusted *tls.Config) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: trusted}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	answer, err := client.PostForm(at+"/login", url.Values{"token": {"viewer-token-0123456789"}})
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	require.Equal(t, trusted != nil, answer.Cookies()[0].Secure)
	return client
}

func statusOf(t *testing.T, client *http.Client, page string) int {
	t.Helper()
	answer, err := client.Get(page)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

func TestConsole_ConnectsToNATS(t *testing.T) {
	t.Parallel()
	s, err := consoleOf(t, func(*Config) {})
	require.NoError(t, err)
	at := "http://" + s.ConsoleAddr()
	client := logIn(t, at, nil)
	require.Eventually(t, func() bool { return statusOf(t, client, at+"/deadletters") == http.StatusOK }, soon, poll)
}

// TestConsole_WithoutNATS: a login that does not work is not an error of the starter.
func TestConsole_WithoutNATS(t *testing.T) {
	t.Parallel()
	login := filepath.Join(t.TempDir(), "viewer.json")
	require.NoError(t, os.WriteFile(login, []byte(`{"url":"nats://`+unreachableAddr(t)+`","user":"viewer"}`), 0o600))
	s, err := consoleOf(t, func(c *Config) { c.Console.NATSContext = login })
	require.NoError(t, err)
	at := "http://" + s.ConsoleAddr()
	require.Equal(t, http.StatusServiceUnavailable, statusOf(t, logIn(t, at, nil), at+"/deadletters"))
}

func TestConsole_MissingContext(t *testing.T) {
	t.Parallel()
	_, err := consoleOf(t, func(c *Config) { c.Console.NATSContext = "/none/viewer.json" })
	require.ErrorContains(t, err, "console: --console-nats-context")
	_, err = consoleOf(t, func(c *Config) { c.Gateway.OperatorToken = "/none/operators" })
	require.ErrorContains(t, err, "operator tokens")
}

func TestConsole_CertificateOfTheGateway(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	s, err := consoleOf(t, func(c *Config) { c.Gateway.Certificate, c.Gateway.Key = cert, key })
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(pem))
	logIn(t, "https://"+s.ConsoleAddr(), &tls.Config{RootCAs: pool, ServerName: "temporal.company"})
}
