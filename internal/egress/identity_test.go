package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// client issues a client certificate of a name, as PEM.
func (ca *authority) client(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, own.Public(), ca.key)
	require.NoError(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func (ca *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// TestIdentities talks to an endpoint that wants a client certificate and has a CA of its own.
func TestIdentities(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	s := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
	}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName))
	})
	c := newClient(t, Options{AllowLoopback: true})
	do := func(certificate, key, ca []byte) (*Response, schemas.Attempt, error) {
		identity, err := NewIdentity("acme", certificate, key, ca)
		require.NoError(t, err)
		return c.Do(t.Context(), Request{URL: s.URL, TLS: identity})
	}
	aliceCert, aliceKey := ca.client(t, "alice")
	bobCert, bobKey := ca.client(t, "bob")
	for range 2 { // the second time over the kept connections
		for name, pair := range map[string][2][]byte{"alice": {aliceCert, aliceKey}, "bob": {bobCert, bobKey}} {
			resp, _, err := do(pair[0], pair[1], ca.pem())
			require.NoError(t, err)
			require.Equal(t, name, string(resp.Body), "no connection is shared")
		}
	}
	for name, identity := range map[string][3][]byte{
		"no certificate":   {nil, nil, ca.pem()},
		"an unknown CA":    {aliceCert, aliceKey, stranger.pem()},
		"the system's CAs": {aliceCert, aliceKey, nil},
	} {
		_, a, err := do(identity[0], identity[1], identity[2])
		requireFault(t, fault.TLS, err, a)
		require.NotEmpty(t, name)
	}
	mallory, malloryKey := stranger.client(t, "mallory")
	_, a, err := do(mallory, malloryKey, ca.pem())
	// The alert with the reason may be lost: the endpoint closes the connection while the request is still being written.
	if kind := fault.Of(err).Kind; kind != fault.Reset {
		requireFault(t, fault.TLS, err, a)
	}
	_, a, err = c.Do(t.Context(), Request{URL: s.URL})
	requireFault(t, fault.TLS, err, a)
}

func TestIdentity_BadIdentities(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.client(t, "alice")
	_, otherKey := ca.client(t, "bob")
	for name, pem := range map[string][3]string{
		"another key":    {string(cert), string(otherKey), ""},
		"no key":         {string(cert), "", ""},
		"no certificate": {"", string(key), ""},
		"no PEM":         {"s3cret", "s3cret", ""},
		"no CA":          {"", "", "s3cret"},
	} {
		_, err := NewIdentity("acme", []byte(pem[0]), []byte(pem[1]), []byte(pem[2]))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestIdentities_AreBounded(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	of := func(tenant string, n int) *http.Transport {
		return c.transportFor(0, &Identity{tenant: tenant, fingerprint: [32]byte{byte(n), byte(n >> 8)}})
	}
	quiet := of("quiet", 0)
	for n := range identitiesMax + 10 {
		of("greedy", n)
	}
	require.Equal(t, identitiesMax, c.identities.Len())
	latest := of("greedy", identitiesMax+9)
	require.Same(t, latest, of("greedy", identitiesMax+9))
	require.Same(t, quiet, of("quiet", 0), "a tenant pushes out its own transports only")
	require.NotSame(t, quiet, of("greedy", 0), "tenants do not share connections")
}

func TestIdentities_IdleConnectionsBounded(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	own := c.transportFor(0, &Identity{tenant: "acme"})
	require.Equal(t, identityIdleMax, own.MaxIdleConns)
	require.Equal(t, identityIdleMax, own.MaxIdleConnsPerHost)
	shared := c.transportFor(0, nil)
	require.Equal(t, 1024, shared.MaxIdleConns)
}
