package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// authority is a CA of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, key}
}

// issue returns a new certificate for an address, or for a name, as PEM texts.
func (a *authority) issue(t *testing.T, host string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// server is how an endpoint with a certificate of this authority is served; it wants one of the caller, too.
func (a *authority) server(t *testing.T, host string) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, host))
	require.NoError(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients}
}

// TestEndpoints_AskWhoCalls has endpoints behind TLS with a CA of their own: one wants a client certificate, one a
// bearer token by client credentials, and one has a certificate of the wrong name.
func TestEndpoints_AskWhoCalls(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	samples := endpoint.New(endpoint.Options{TLS: ca.server(t, "127.0.0.1")})
	samples.Handle("/mutual", func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "shop bot" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"messages":["I know you."]}`)
	})
	var tokens atomic.Int64
	login := endpoint.New(endpoint.Options{})
	login.Handle("/token", func(w http.ResponseWriter, r *http.Request) {
		if id, secret, ok := r.BasicAuth(); !ok || id != "shop" || secret != "client-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, tokens.Add(1))
	})
	samples.Handle("/guarded", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-2" { // the first one was revoked
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"messages":["Come in."]}`)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	_, err = login.Start()
	require.NoError(t, err)
	t.Cleanup(login.Stop)
	wrong := endpoint.New(endpoint.Options{TLS: ca.server(t, "wrong.example")})
	_, err = wrong.Start()
	require.NoError(t, err)
	t.Cleanup(wrong.Stop)

	bots := t.TempDir()
	cert, key := ca.issue(t, "shop bot")
	for name, content := range map[string][]byte{
		"cert": cert, "key": key, "ca": ca.pem(), "client": []byte("client-secret"),
		"shop.yaml": fmt.Appendf(nil, `bot: shop
dialect: plain
base_urls: {test: %q}
secrets: {cert: {file: cert}, key: {file: key}, ca: {file: ca}, client: {file: client}}
steps:
  MUTUAL: {webhook: {path: /mutual, tls: {certificate: cert, key: key, ca: ca}}}
  STRANGER: {webhook: {path: /mutual, tls: {ca: ca}}}
  UNKNOWN_CA: {webhook: {path: /mutual}}
  WRONG_NAME: {webhook: {url: "%s/mutual", tls: {ca: ca}}}
  GUARDED:
    webhook:
      path: /guarded
      tls: {ca: ca}
      oauth2: {token_url: "%s/token", client_id: shop, secret: client}
`, samples.URL(), wrong.URL(), login.URL()),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bots, name), content, 0o600))
	}
	_, e := startWith(t, stack.Options{Bots: bots, Endpoint: samples})
	for step, want := range map[string]struct {
		outcome schemas.Outcome
		says    string // a message, or an error code
	}{
		"MUTUAL": {schemas.OutcomeSuccess, "I know you."}, "STRANGER": {schemas.OutcomeBotBreak, "status"},
		"UNKNOWN_CA": {schemas.OutcomeBotBreak, "tls"}, "WRONG_NAME": {schemas.OutcomeBotBreak, "tls"},
		"GUARDED": {schemas.OutcomeSuccess, "Come in."},
	} {
		e.request(t, "shop", step, step)
		r := e.replied(t, "shop", step, 1)[0]
		require.Equal(t, want.outcome, r.Outcome, "%s: %+v", step, r.Error)
		if r.Error != nil {
			require.Equal(t, want.says, r.Error.Kind, step)
			continue
		}
		require.Equal(t, []schemas.Message{schemas.Text(want.says)}, r.Messages, step)
	}
}

// TestCallback_OutlivesEveryProcess answers 202, restarts worker, starter and both servers, and then calls back.
func TestCallback_OutlivesEveryProcess(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/later", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	bots := t.TempDir()
	file := fmt.Sprintf("bot: shop\ndialect: plain\nbase_urls: {test: %q}\nsteps: {LATER: {webhook: {path: /later, timeout: 240h}}}\n",
		samples.URL())
	require.NoError(t, os.WriteFile(filepath.Join(bots, "shop.yaml"), []byte(file), 0o600))
	state := t.TempDir()
	serve := func() (*proc, map[string]string) {
		return runServers(t, append(anyPort(), "--bots="+bots, "--data-dir="+state)...)
	}

	first, where := serve()
	e := newEngine(t, "nats://"+where["nats"])
	e.request(t, "shop", "c-1", "LATER")
	require.Eventually(t, func() bool { return samples.Ledger().Len() == 1 }, patience, 10*time.Millisecond)
	address := samples.Ledger().All()[0].Header.Get("Hookturn-Callback")
	require.True(t, strings.HasPrefix(address, "http://"+where["gateway"]+"/callbacks/"), address)
	c, err := client.Dial(client.Options{HostPort: where["temporal"]})
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool { // before the 202 is in history, the endpoint would be asked again
		h, err := readHistory(t.Context(), c, "conversation/default/shop/c-1", "")
		return err == nil && slices.ContainsFunc(h.GetEvents(), func(event *historypb.HistoryEvent) bool {
			return event.GetEventType() == enumspb.EVENT_TYPE_MARKER_RECORDED
		})
	}, patience, 10*time.Millisecond)
	first.kill()

	_, where = serve()
	e = newEngine(t, "nats://"+where["nats"])
	_, token, _ := strings.Cut(address, "/callbacks/")
	status, text := callBack(t, "http://"+where["gateway"]+"/callbacks/"+token, `{"messages":["At last."]}`)
	require.Equal(t, http.StatusAccepted, status, text)
	require.Equal(t, []schemas.Message{schemas.Text("At last.")}, e.replied(t, "shop", "c-1", 1)[0].Messages)
	require.Equal(t, 1, samples.Ledger().Len(), "the endpoint is not asked again")
}

// TestQueue_SerialAndDurable puts thirty steps of thirty conversations into one queue, kills the worker in the
// middle of it, and checks both ends: one at a time, in order, each with one reply.
func TestQueue_SerialAndDurable(t *testing.T) {
	t.Parallel()
	const n = 30
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/notify", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
	})
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	bots := t.TempDir()
	file := fmt.Sprintf("bot: shop\ndialect: loyjoy\nbase_urls: {test: %q}\nsteps: {NOTIFY: {webhook: {path: /notify, mode: background}}}\n",
		samples.URL())
	require.NoError(t, os.WriteFile(filepath.Join(bots, "shop.yaml"), []byte(file), 0o600))
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	env := func() []string { return environment(where, bots) }
	e := newEngine(t, "nats://"+where["nats"])
	worker := run(t, program(t, "worker"), env())
	run(t, program(t, "starter"), env())

	var order []string // of acceptance: the queue's
	for i := range n {
		id := e.request(t, "shop", fmt.Sprintf("c-%d", i), "NOTIFY")
		require.Equal(t, schemas.OutcomeAccepted, e.replied(t, "shop", fmt.Sprintf("c-%d", i), 1)[0].Outcome)
		order = append(order, id)
		if i == n/2 {
			worker.kill()
			run(t, program(t, "worker"), env())
		}
	}
	late := map[string]int{}
	require.NoError(t, e.await(func() bool {
		clear(late)
		for i := range n {
			for _, r := range e.of("shop", fmt.Sprintf("c-%d", i)) {
				var data schemas.StepReplied
				if r.Type == schemas.TypeStepLate && json.Unmarshal(r.Data, &data) == nil && data.Outcome == schemas.OutcomeSuccess {
					late[data.EventID]++
				}
			}
		}
		return len(late) == n
	}))
	var asked []string
	for _, entry := range samples.Ledger().All() {
		if len(asked) == 0 || asked[len(asked)-1] != entry.WebhookID { // the killed worker's may have come twice
			asked = append(asked, entry.WebhookID)
		}
	}
	require.Equal(t, order, asked)
	require.LessOrEqual(t, samples.Ledger().Len(), n+1)
	for id, times := range late {
		require.Equal(t, 1, times, id)
	}
}

// TestEndpoints_StatesAreSharedByWorkers has two workers: one 429 keeps both away from the endpoint, the listeners to advisories
// hear of it, and so does a worker that starts later.
func TestEndpoints_StatesAreSharedByWorkers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var busy atomic.Bool
	busy.Store(true)
	c.samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		if busy.Load() {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		ok(w, r)
	})
	sub, err := c.engine.js.Conn().SubscribeSync(schemas.AdvisorySubject(schemas.BotID{Tenant: "default", Bot: "shop"}))
	require.NoError(t, err)
	first := c.start(t, "worker")
	c.start(t, "starter")
	c.engine.request(t, "shop", "first", "ORDER")
	requireKind(t, "rate_limited", c.engine.replied(t, "shop", "first", 1)[0])
	message, err := sub.NextMsg(patience)
	require.NoError(t, err)
	var advisory schemas.Advisory[schemas.EndpointChanged]
	require.NoError(t, json.Unmarshal(message.Data, &advisory))
	require.Equal(t, "paused", advisory.Data.State)
	require.Equal(t, c.samples.URL()+"/orders", advisory.Data.URL)

	busy.Store(false)
	c.start(t, "worker")
	first.kill()
	for i := range 5 {
		conversation := fmt.Sprintf("later-%d", i)
		c.engine.request(t, "shop", conversation, "ORDER")
		r := c.engine.replied(t, "shop", conversation, 1)[0]
		requireKind(t, "rate_limited", r)
		require.Empty(t, r.Attempts)
	}
	require.Equal(t, 1, c.samples.Ledger().Len())
}
