package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// authority signs certificates for the tests' servers.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{key: key, cert: cert}
}

func (ca *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func (ca *authority) issue(t *testing.T, name string, end time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, ca.key.Public(), ca.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.key}
}

func serveTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS, s.EnableHTTP2 = config, true
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, later := newAuthority(t), time.Now().Add(time.Hour)
	good := ca.issue(t, "127.0.0.1", later)
	for _, c := range []struct {
		name   string
		config *tls.Config
		roots  *x509.CertPool
		want   string // part of the message, "" = reached
	}{
		{"own authority", &tls.Config{Certificates: []tls.Certificate{good}}, ca.pool(), ""},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, ca.pool(), ""},
		{"unknown authority", &tls.Config{Certificates: []tls.Certificate{good}}, nil, "authority"},
		{"wrong name", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "other.example", later)}}, ca.pool(),
			"another name"},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", time.Now().Add(-time.Hour))}}, ca.pool(),
			"expired"},
		{"TLS 1.1", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10,
			MaxVersion: tls.VersionTLS11}, ca.pool(), "no common TLS version"},
		{"wants a client certificate", &tls.Config{Certificates: []tls.Certificate{good},
			ClientAuth: tls.RequireAnyClientCert}, ca.pool(), "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, c.config, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) })
			client := newClient(t, Options{AllowLoopback: true, RootCAs: c.roots})
			resp, a, err := call(t, client, s.URL+"/?s3cret")
			if c.want != "" {
				f := requireFault(t, fault.TLS, err, a)
				require.False(t, f.Retryable())
				require.Contains(t, f.Message, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "HTTP/2.0", string(resp.Body))
			require.NotZero(t, a.TLSMs)
		})
	}
}

func TestTLS_PlainServerOnAnHTTPSAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, a, err := call(t, newClient(t, devstack()), "https"+strings.TrimPrefix(s.URL, "http"))
	requireFault(t, fault.TLS, err, a)
}

func TestTLS_HandshakeThatBreaksOffIsAReset(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, func(net.Conn, int64) {})
	_, a, err := call(t, newClient(t, devstack()), "https"+strings.TrimPrefix(s.url, "http"))
	f := requireFault(t, fault.Reset, err, a)
	require.True(t, f.Retryable())
}

// The limits hold for HTTP/2 as well, whose code is another one.
func TestTLS_HTTP2Limits(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))}}
	release := make(chan struct{})
	s := serveTLS(t, config, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			chunk := make([]byte, 4096)
			for r.Context().Err() == nil {
				_, _ = w.Write(chunk)
			}
		case "/headers":
			for range 100 {
				w.Header().Add("X-Long", strings.Repeat("~", 1000))
			}
		case "/reset":
			panic(http.ErrAbortHandler)
		case "/middle":
			_, _ = w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/slow":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	defer close(release)
	c := newClient(t, Options{AllowLoopback: true, RootCAs: ca.pool()})
	for path, want := range map[string]fault.Kind{
		"/body": fault.TooLarge, "/headers": fault.BadResponse, "/reset": fault.Reset, "/middle": fault.Reset,
	} {
		_, a, err := call(t, c, s.URL+path)
		requireFault(t, want, err, a)
	}
	_, a, err := c.Do(t.Context(), Request{URL: s.URL + "/slow", Timeout: time.Second})
	requireFault(t, fault.Timeout, err, a)
}
