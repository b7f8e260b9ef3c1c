package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/fresh"
)

func TestPeer_ForwardedAddressesAreBelievedFromProxiesOnly(t *testing.T) {
	t.Parallel()
	o := Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for name, c := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"direct":            {"203.0.113.9:4000", nil, "203.0.113.9"},
		"forged":            {"203.0.113.9:4000", []string{"10.1.1.1"}, "203.0.113.9"},
		"by a proxy":        {"10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		"by two":            {"10.0.0.1:1", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"by two, in lines":  {"10.0.0.1:1", []string{"198.51.100.7", "10.0.0.2"}, "198.51.100.7"},
		"forged, proxied":   {"10.0.0.1:1", []string{"192.0.2.1, 198.51.100.7"}, "198.51.100.7"},
		"by a proxy alone":  {"10.0.0.1:1", nil, "10.0.0.1"},
		"no address":        {"10.0.0.1:1", []string{"unknown"}, "invalid IP"},
		"no address before": {"10.0.0.1:1", []string{"unknown, 10.0.0.2"}, "invalid IP"},
		"hidden by another": {"10.0.0.1:1", []string{"unknown, 198.51.100.7"}, "198.51.100.7"},
		"empty":             {"10.0.0.1:1", []string{"", " "}, "10.0.0.1"},
		"empty hop":         {"10.0.0.1:1", []string{"198.51.100.7, "}, "invalid IP"},
		"with port":         {"10.0.0.1:1", []string{"198.51.100.7:41234"}, "198.51.100.7"},
		"with port, by two": {"10.0.0.1:1", []string{"198.51.100.7:41234,10.0.0.2:80"}, "198.51.100.7"},
		"version 6, port":   {"10.0.0.1:1", []string{"[2001:db8::7]:41234"}, "2001:db8::7"},
		"brackets":          {"10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		"mapped, port":      {"10.0.0.1:1", []string{"[::ffff:198.51.100.7]:1"}, "198.51.100.7"},
		"zone":              {"10.0.0.1:1", []string{"[fe80::1%eth0]:1"}, "fe80::1"},
		"bad port":          {"10.0.0.1:1", []string{"198.51.100.7:http"}, "invalid IP"},
		"mapped":            {"[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"version 6":         {"[::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		"all proxies":       {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"not a remote addr": {"pipe", nil, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.remote
			for _, value := range c.forwarded {
				r.Header.Add("X-Forwarded-For", value)
			}
			require.Equal(t, c.want, o.peer(r).String())
		})
	}
}

// TestExec_UnknownSender: a sender whose address a trusted proxy did not write is outside every mask. A script of a channel
// without a mask receives no address.
func TestExec_UnknownSender(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.Proxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} // the mask admits the proxy itself
	forwarded := func(by string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Forwarded-For", by) }
	}
	requireProblem(t, d.exec(tokenOfSync, forwarded("unknown")), http.StatusForbidden, fault.Blocked, "")
	requireProblem(t, d.exec(tokenOfSync, forwarded("198.51.100.7:41234")), http.StatusForbidden, fault.Blocked, "")
	d.runs.script = returns(`{}`)
	require.Equal(t, http.StatusOK, d.exec(tokenOfSync, forwarded("203.0.113.9:41234")).Code)
	require.Equal(t, http.StatusOK, d.exec(tokenOfHook, forwarded("unknown")).Code)
	require.Len(t, d.runs.started, 2)
	unknown := d.runs.started[1].Script
	require.JSONEq(t, `""`, string(unknown.Params[5]))
	require.Contains(t, string(unknown.Event), `"sourceIp":""`)
}

// certificate writes a fresh key pair for 127.0.0.1 and gives its serial number.
func certificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

func TestCertificate_ReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, 1)
	d := newTestGateway(t)
	d.Log = slog.New(slog.DiscardHandler)
	var err error
	d.TLS, err = ReadCertificate(cert, key, d.Log)
	require.NoError(t, err)
	s, err := Start("127.0.0.1:0", d.Options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })

	serial := func() int64 {
		client := &http.Client{Timeout: soon, Transport: &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}}
		answer, err := client.Get("https://" + s.Addr() + "/")
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, 2, answer.ProtoMajor)
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	certificate(t, dir, 2)
	require.Eventually(t, func() bool { return serial() == 2 }, soon, 50*time.Millisecond)
	require.NoError(t, os.WriteFile(cert, []byte("no certificate"), 0o600))
	<-time.After(fresh.Interval + 100*time.Millisecond)
	require.EqualValues(t, 2, serial(), "a bad certificate replaces no good one")

	_, err = ReadCertificate(cert, key, d.Log)
	require.ErrorContains(t, err, "gateway certificate")
}
