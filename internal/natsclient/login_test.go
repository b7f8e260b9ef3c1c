package natsclient_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// authority is a certificate authority of a company.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ca   string // PEM file
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{dir: t.TempDir()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.ca = a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func (a authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// issue returns the files of a certificate for the loopback address, and of its key.
func (a authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	return a.write(t, name+".pem", "CERTIFICATE", der), a.write(t, name+"-key.pem", "PRIVATE KEY", private)
}

func (a authority) serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, key := a.issue(t, "server")
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12}
}

// startWith starts a server with JetStream and more options.
func startWith(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(&o)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(natsclient.Soon))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// requireWorks does with a login what processes do: streams, events, keys, files, readiness.
func requireWorks(t *testing.T, l natsclient.Login) jetstream.JetStream {
	t.Helper()
	ctx := natsclient.TestContext(t)
	nc, js, err := bus.Connect(ctx, l, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	var streams bus.Streams
	require.Eventually(t, func() bool { // a leaf node connects later
		streams, err = bus.Setup(ctx, js, bus.StreamOptions{})
		return err == nil
	}, natsclient.Soon, natsclient.Poll)
	_, _, err = bus.NewPublisher(js).PublishEvent(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c"), []byte("1"),
		"c-1", nil)
	require.NoError(t, err)
	stored, err := streams.Events().GetMsg(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, "1", string(stored.Data))
	_, err = streams.Bucket(bus.BucketUsers).Put(ctx, "k", []byte("v"))
	require.NoError(t, err)
	entry, err := streams.Bucket(bus.BucketUsers).Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "v", string(entry.Value()))
	watched := make(chan string, 1)
	watcher, err := streams.Bucket(bus.BucketUsers).WatchAll(ctx)
	require.NoError(t, err)
	watched <- (<-watcher.Updates()).Key()
	require.Equal(t, "k", <-watched)
	require.NoError(t, watcher.Stop())
	_, err = streams.Files().Put(ctx, jetstream.ObjectMeta{Name: "f"}, bytes.NewReader([]byte("file")))
	require.NoError(t, err)
	found, err := streams.Files().Get(ctx, "f")
	require.NoError(t, err)
	var content bytes.Buffer
	_, err = content.ReadFrom(found)
	require.NoError(t, err)
	require.Equal(t, "file", content.String())
	require.NoError(t, bus.Ready(ctx, js))
	return js
}

func TestLogin_MutualTLS(t *testing.T) {
	t.Parallel()
	company := newAuthority(t)
	s := startWith(t, server.Options{JetStream: true, StoreDir: t.TempDir(), TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: company.serverTLS(t)})
	address := "tls://" + s.Addr().String()
	cert, key := company.issue(t, "client")
	requireWorks(t, natsclient.Login{URL: address, CA: company.ca, Cert: cert, Key: key})

	var log natsclient.LockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, _, err := natsclient.Login{URL: address}.Connect(ctx, t.Name(), slog.New(slog.NewTextHandler(&log, nil)))
		failed <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "--nats-ca") }, natsclient.Soon, natsclient.Poll)
	cancel()
	require.Error(t, <-failed)
}

func TestLogin_NKey(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "user.nk")
	require.NoError(t, os.WriteFile(path, seed, 0o600))
	s := startWith(t, server.Options{JetStream: true, StoreDir: t.TempDir(), Nkeys: []*server.NkeyUser{{Nkey: public}}})
	js := requireWorks(t, natsclient.Login{URL: s.ClientURL(), NKey: path})
	require.Equal(t, public, natsclient.UserOf(js.Conn()))
}

// TestLogin_Credentials is a server with an operator, an account and users that log in with JWTs.
func TestLogin_Credentials(t *testing.T) {
	t.Parallel()
	operator, account, user := keyPair(t, nkeys.CreateOperator), keyPair(t, nkeys.CreateAccount), keyPair(t, nkeys.CreateUser)
	trusted := jwt.NewOperatorClaims(operator.public)
	ofOperator, err := trusted.Encode(operator)
	require.NoError(t, err)
	claims, err := jwt.DecodeOperatorClaims(ofOperator)
	require.NoError(t, err)
	owner := jwt.NewAccountClaims(account.public)
	owner.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	ofAccount, err := owner.Encode(operator)
	require.NoError(t, err)
	named := jwt.NewUserClaims(user.public)
	named.Name = "hookturn-worker"
	ofUser, err := named.Encode(account)
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	credentials, err := jwt.FormatUserConfig(ofUser, seed)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "user.creds")
	require.NoError(t, os.WriteFile(path, credentials, 0o600))

	resolver := &server.MemAccResolver{}
	require.NoError(t, resolver.Store(account.public, ofAccount))
	system := keyPair(t, nkeys.CreateAccount)
	ofSystem, err := jwt.NewAccountClaims(system.public).Encode(operator)
	require.NoError(t, err)
	require.NoError(t, resolver.Store(system.public, ofSystem))
	s := startWith(t, server.Options{JetStream: true, StoreDir: t.TempDir(), TrustedOperators: []*jwt.OperatorClaims{claims},
		AccountResolver: resolver, SystemAccount: system.public})
	js := requireWorks(t, natsclient.Login{URL: s.ClientURL(), Creds: path})
	require.Equal(t, "hookturn-worker", natsclient.UserOf(js.Conn()))
}

type pair struct {
	nkeys.KeyPair

	public string
}

func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) pair {
	t.Helper()
	made, err := create()
	require.NoError(t, err)
	public, err := made.PublicKey()
	require.NoError(t, err)
	return pair{made, public}
}

// TestLogin_DomainBehindALeafNode is a process beside a leaf node without streams; the hub has them, in its domain.
func TestLogin_DomainBehindALeafNode(t *testing.T) {
	t.Parallel()
	hub := server.Options{JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub", ServerName: "hub"}
	hub.LeafNode.Host, hub.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	h := startWith(t, hub)
	state, err := h.Varz(nil)
	require.NoError(t, err)
	leaf := server.Options{ServerName: "leaf"}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(state.LeafNode.Port))
	leaf.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: address}}}}
	l := startWith(t, leaf)
	requireWorks(t, natsclient.Login{URL: l.ClientURL(), Domain: "hub"})
}

// TestLogin_AccountsAreSeparate is a server with two accounts: the password in the address chooses one.
func TestLogin_AccountsAreSeparate(t *testing.T) {
	t.Parallel()
	o := server.Options{}
	require.NoError(t, o.ProcessConfigString(`accounts {
		A { jetstream: enabled, users: [ { user: a, password: "p@ss" } ] }
		B { jetstream: enabled, users: [ { user: b, password: b } ] }
	}`))
	o.JetStream, o.StoreDir = true, t.TempDir()
	s := startWith(t, o)
	requireWorks(t, natsclient.Login{URL: "nats://a:p%40ss@" + s.Addr().String()})
	nc, other, err := natsclient.Login{URL: "nats://b:b@" + s.Addr().String()}.Connect(natsclient.TestContext(t), t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	_, err = other.Stream(natsclient.TestContext(t), "HOOKTURN_EVENTS")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestLogin_Context(t *testing.T) {
	t.Parallel()
	s := startWith(t, server.Options{JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub",
		Users: []*server.User{{Username: "bob", Password: "bob", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_bob.>"}},
		}}}})
	path := filepath.Join(t.TempDir(), "company.json")
	write := func(settings map[string]string) {
		text, err := json.Marshal(settings)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	write(map[string]string{"url": s.ClientURL(), "user": "bob", "password": "bob", "inbox_prefix": "_INBOX_bob",
		"jetstream_domain": "hub"})
	js := requireWorks(t, natsclient.Login{Context: path})
	require.Equal(t, "hub", js.Options().Domain)

	write(map[string]string{"url": "nats://127.0.0.1:1", "user": "bob", "password": "bob"})
	requireWorks(t, natsclient.Login{Context: path, URL: s.ClientURL(), InboxPrefix: "_INBOX_bob"})
}

func TestLogin_InvalidOptionsNameThemselves(t *testing.T) {
	t.Parallel()
	company := newAuthority(t)
	cert, key := company.issue(t, "client")
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for name, c := range map[string]struct {
		login natsclient.Login
		want  []string
	}{
		"address":         {natsclient.Login{URL: "nats://u:secret@%zz"}, []string{"--nats-url", "HOOKTURN_NATS_URL", "nats://user:password@"}},
		"no context":      {natsclient.Login{Context: "not-there"}, []string{"--nats-context", "NATS_CONTEXT", "not-there", "--nats-context production"}},
		"no credentials":  {natsclient.Login{Creds: "missing"}, []string{"--nats-creds", "HOOKTURN_NATS_CREDS", "missing", "user.creds"}},
		"no seed":         {natsclient.Login{NKey: empty}, []string{"--nats-nkey", "HOOKTURN_NATS_NKEY", "user.nk"}},
		"two credentials": {natsclient.Login{NKey: empty, Creds: empty}, []string{"--nats-creds", "--nats-nkey", "remove one"}},
		"no authority":    {natsclient.Login{CA: empty}, []string{"--nats-ca", "HOOKTURN_NATS_CA", "ca.pem"}},
		"no key":          {natsclient.Login{Cert: cert}, []string{"--nats-cert", "--nats-key", "HOOKTURN_NATS_KEY"}},
		"other key":       {natsclient.Login{Cert: key, Key: cert}, []string{"--nats-cert", "HOOKTURN_NATS_CERT", "client.pem"}},
		"domain":          {natsclient.Login{Domain: "a.b"}, []string{"--nats-domain", "HOOKTURN_NATS_DOMAIN", `"a.b"`, "--nats-domain hub"}},
		"inbox prefix":    {natsclient.Login{InboxPrefix: "a b"}, []string{"--nats-inbox-prefix", "HOOKTURN_NATS_INBOX_PREFIX"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := c.login.Connect(natsclient.TestContext(t), "test", nil)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "secret")
		})
	}
}
