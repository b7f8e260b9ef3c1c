package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"go.temporal.io/sdk/client"
)

// reachHint returns what to do when Temporal cannot be reached. gRPC returns the reason as a text only, so that it looks at
// the TLS of the server itself, until ctx ends.
func reachHint(ctx context.Context, opts client.Options) string {
	own := opts.ConnectionOptions.TLS
	if own == nil {
		// Not verified: it only finds out whether the server has TLS, and sends nothing.
		if errors.Is(probe(ctx, opts.HostPort, &tls.Config{InsecureSkipVerify: true}), errNoTLS) { //nolint:gosec // see above
			return "check TEMPORAL_ADDRESS and that the server runs"
		}
		return "the server has TLS: set TEMPORAL_TLS=true, or name its authority in TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	}
	err := probe(ctx, opts.HostPort, own.Clone())
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	refused, failed := errors.AsType[*net.OpError](err)
	switch {
	case unknown:
		return "the server's certificate is of an unknown authority: set TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	case otherName:
		return "the server's certificate has another name: set TEMPORAL_TLS_SERVER_NAME"
	case failed && refused.Op == "remote error" && len(own.Certificates) == 0 && own.GetClientCertificate == nil:
		return "the server needs a client certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"
	case failed && refused.Op == "remote error":
		return "the server rejects the client certificate: check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"
	default:
		return "check TEMPORAL_ADDRESS, TEMPORAL_TLS and that the server runs"
	}
}

// errNoTLS is the result of a probe of a server that is away, or does not have TLS.
var errNoTLS = errors.New("no TLS")

// probe connects with TLS, and reads: a server of TLS 1.3 rejects a client only after the client's handshake has ended.
func probe(ctx context.Context, addr string, config *tls.Config) error {
	config.NextProtos = []string{"h2"}
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return errNoTLS
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op != "remote error" {
		return errNoTLS
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = c.SetReadDeadline(until) // else the server answers or disconnects
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
