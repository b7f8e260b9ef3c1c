package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/hookturn/hookturn/internal/natsclient"
)

// frontend is a stand-in for Temporal's frontend: it answers what a client asks when it connects.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer

	requests  chan metadata.MD
	deadlines chan time.Time
}

func (f frontend) GetSystemInfo(
	ctx context.Context, _ *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	select {
	case f.requests <- header:
	default:
	}
	return &workflowservice.GetSystemInfoResponse{
		Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{},
	}, nil
}

// DeleteWorkflowExecution answers when the request has a deadline, which it passes on.
func (f frontend) DeleteWorkflowExecution(
	ctx context.Context, _ *workflowservice.DeleteWorkflowExecutionRequest,
) (*workflowservice.DeleteWorkflowExecutionResponse, error) {
	ends, bounded := ctx.Deadline()
	if !bounded {
		return nil, serviceerror.NewInvalidArgument("the client waits without end")
	}
	f.deadlines <- ends
	return &workflowservice.DeleteWorkflowExecutionResponse{}, nil
}

// serveFrontend serves the stand-in and returns its address.
func serveFrontend(t *testing.T, options ...grpc.ServerOption) (frontend, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	f := frontend{requests: make(chan metadata.MD, 1), deadlines: make(chan time.Time, 1)}
	workflowservice.RegisterWorkflowServiceServer(server, f)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return f, listener.Addr().String()
}

// certificates writes an authority, and a certificate from it that is valid for both ends of a connection.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames:    []string{"temporal.company"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert = write("cert.pem", "CERTIFICATE", der)
	return cert, cert, write("key.pem", "PRIVATE KEY", secret)
}

// TestTemporal_ProfileWithMutualTLS connects by a profile of Temporal's configuration file to a server that requires a
// client certificate.
func TestTemporal_ProfileWithMutualTLS(t *testing.T) { //nolint:paralleltest // the environment is shared
	ca, cert, key := certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(text))
	f, address := serveFrontend(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})))
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `[profile.company]
address = %q
namespace = "bots"
[profile.company.tls]
server_ca_cert_path = %q
client_cert_path = %q
client_key_path = %q
server_name = "temporal.company"
`, address, ca, cert, key), 0o600))
	t.Setenv("TEMPORAL_CONFIG_FILE", file)
	t.Setenv("TEMPORAL_PROFILE", "company")
	options, err := TemporalFromEnvironment()
	require.NoError(t, err)
	require.Equal(t, "bots", options.Namespace)
	c, err := dialTemporal(t.Context(), options, Config{}.withDefaults().Log, nil)
	require.NoError(t, err)
	c.Close()
	<-f.requests

	t.Setenv("TEMPORAL_PROFILE", "not-there")
	_, err = TemporalFromEnvironment()
	require.ErrorContains(t, err, "TEMPORAL_PROFILE")
	require.ErrorContains(t, err, "TEMPORAL_ADDRESS=")
}

// TestTemporal_HintNamesTheOption connects to a server that requires a client certificate in each wrong way.
func TestTemporal_HintNamesTheOption(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	_, otherCert, otherKey := certificates(t)
	stranger, err := tls.LoadX509KeyPair(otherCert, otherKey)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(text))
	_, address := serveFrontend(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})))
	_, plain := serveFrontend(t)
	const name = "temporal.company"
	for hint, wrong := range map[string]client.Options{
		"set TEMPORAL_TLS=true":                {HostPort: address},
		"set TEMPORAL_TLS_SERVER_CA_CERT_PATH": {HostPort: address, ConnectionOptions: client.ConnectionOptions{TLS: &tls.Config{ServerName: name}}},
		"set TEMPORAL_TLS_SERVER_NAME":         {HostPort: address, ConnectionOptions: client.ConnectionOptions{TLS: &tls.Config{RootCAs: pool}}},
		"set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH": {
			HostPort: address, ConnectionOptions: client.ConnectionOptions{TLS: &tls.Config{RootCAs: pool, ServerName: name}},
		},
		"check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH": {
			HostPort: address, ConnectionOptions: client.ConnectionOptions{TLS: &tls.Config{
				RootCAs: pool, ServerName: name, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil },
			}},
		},
		"check TEMPORAL_ADDRESS, TEMPORAL_TLS and that": {HostPort: plain, ConnectionOptions: client.ConnectionOptions{TLS: &tls.Config{RootCAs: pool}}},
		"check TEMPORAL_ADDRESS and that the server":    {HostPort: "127.0.0.1:1"},
	} {
		probe, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		require.Contains(t, reachHint(probe, wrong), hint)
		cancel()
		var ctx expiring
		ctx.Context, ctx.end = context.WithCancel(t.Context())
		_, err := dialTemporal(ctx, wrong, slog.New(slog.NewTextHandler(ctx, nil)), nil)
		require.ErrorIs(t, err, natsclient.ErrUnreachable)
		require.ErrorContains(t, err, hint)
	}
}

// expiring is a context whose time is over when something is logged.
type expiring struct {
	context.Context

	end context.CancelFunc
}

func (e expiring) Write(p []byte) (int, error) {
	e.end()
	return len(p), nil
}

func (e expiring) Err() error {
	if e.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

func TestTemporal_APIKey(t *testing.T) { //nolint:paralleltest // the environment is shared
	f, address := serveFrontend(t)
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_NAMESPACE", "bots")
	t.Setenv("TEMPORAL_API_KEY", "a-key")
	t.Setenv("TEMPORAL_TLS", "false")
	options, err := TemporalFromEnvironment()
	require.NoError(t, err)
	c, err := dialTemporal(t.Context(), options, Config{}.withDefaults().Log, nil)
	require.NoError(t, err)
	c.Close()
	require.Equal(t, []string{"Bearer a-key"}, (<-f.requests).Get("authorization"))
}

// TestTemporal_EveryRequestIsBounded sends a request that passes through the SDK, without a deadline and with one.
func TestTemporal_EveryRequestIsBounded(t *testing.T) {
	t.Parallel()
	f, address := serveFrontend(t)
	c, err := dialTemporal(t.Context(), client.Options{HostPort: address}, Config{}.withDefaults().Log, nil)
	require.NoError(t, err)
	defer c.Close()
	request := &workflowservice.DeleteWorkflowExecutionRequest{}
	_, err = c.WorkflowService().DeleteWorkflowExecution(t.Context(), request)
	require.NoError(t, err)
	require.LessOrEqual(t, time.Until(<-f.deadlines), requestTimeout)
	longer, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = c.WorkflowService().DeleteWorkflowExecution(longer, request)
	require.NoError(t, err)
	require.Greater(t, time.Until(<-f.deadlines), time.Minute, "the sender decides")
}
