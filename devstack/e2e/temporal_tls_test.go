package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/schemas"
)

// frontendName is the name in the certificate of the Temporal server.
const frontendName = "temporal.company"

// issuer makes certificates.
type issuer struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.file, _, a.cert, a.key = a.make(t, template)
	return a
}

// issue returns the files of a certificate with a name, for both ends of a connection.
func (a *issuer) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	cert, key, _, _ = a.make(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return cert, key
}

// make signs a certificate, the first one by its own key, and writes its files.
func (a *issuer) make(t *testing.T, template *x509.Certificate) (certFile, keyFile string, _ *x509.Certificate, _ *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), cert, key
}

// TestTemporal_MutualTLSByProfile runs the programs by a profile of Temporal's configuration file against a server that
// requires a client certificate: a step is answered, the tools work, and the error of a client without one names the options.
func TestTemporal_MutualTLSByProfile(t *testing.T) {
	t.Parallel()
	company := newIssuer(t)
	cert, key := company.issue(t, frontendName)
	temporal, err := servers.StartTemporal(t.Context(), servers.TemporalOptions{
		TLS: &servers.MutualTLS{CA: company.file, Cert: cert, Key: key, Name: frontendName},
	})
	require.NoError(t, err)
	t.Cleanup(temporal.Stop)
	nats, err := servers.StartNATS(t.Context(), servers.NATSOptions{})
	require.NoError(t, err)
	t.Cleanup(nats.Stop)
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err = samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)

	clientCert, clientKey := company.issue(t, "worker-1")
	config := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `[profile.company]
address = %[1]q
[profile.company.tls]
server_ca_cert_path = %[2]q
server_name = %[3]q
client_cert_path = %[4]q
client_key_path = %[5]q
[profile.without]
address = %[1]q
[profile.without.tls]
server_ca_cert_path = %[2]q
server_name = %[3]q
`, temporal.Addr(), company.file, frontendName, clientCert, clientKey), 0o600))
	botFiles := bots(t, samples.URL())
	as := func(profile string) []string {
		return []string{
			"TEMPORAL_CONFIG_FILE=" + config, "TEMPORAL_PROFILE=" + profile, "HOOKTURN_NATS_URL=" + nats.URL(),
			"HOOKTURN_BOTS=" + botFiles, "HOOKTURN_FREE_SECRETS=true", "HOOKTURN_EGRESS_ALLOW=127.0.0.1",
		}
	}
	starter := func(profile string, args ...string) (out string, status int) {
		cmd := exec.Command(program(t, "starter"), args...)
		cmd.Env = append(os.Environ(), as(profile)...)
		var text bytes.Buffer
		cmd.Stdout, cmd.Stderr = &text, &text
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return text.String(), exit.ExitCode()
		}
		if err != nil {
			return err.Error(), -1
		}
		return text.String(), 0
	}

	out, status := starter("company", "setup", "--connect-timeout", "1m")
	require.Zero(t, status, out)
	run(t, program(t, "worker"), as("company"))
	run(t, program(t, "starter"), as("company"))
	e := newEngine(t, nats.URL())
	e.request(t, "shop", "c-1", "ORDER")
	require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", "c-1", 1)[0].Outcome)
	tools := [][]string{{"conversations", "list", "--bot", "shop"}, {"deployments", "list"}}
	var without sync.WaitGroup // side by side: each tries for 20 s
	printed, ended := make([]string, len(tools)), make([]int, len(tools))
	for i, args := range tools {
		without.Go(func() { printed[i], ended[i] = starter("without", append(args, "--connect-timeout", "20s")...) })
	}
	without.Wait()
	for i, args := range tools {
		require.Equal(t, 5, ended[i], "%v: %s", args, printed[i])
		require.Contains(t, printed[i], "set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH")
		out, status = starter("company", append(args, "--connect-timeout", "1m")...)
		require.Zero(t, status, "%v: %s", args, out)
	}
}
