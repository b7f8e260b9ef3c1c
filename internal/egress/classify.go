package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"syscall"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// classifier turns an error of the transport into a fault. It uses typed errors and the progress of the attempt, never the
// text of an error: that text changes with the Go release and contains the URL.
type classifier struct {
	progress    *progress
	place       place
	timeout     time.Duration
	headerLimit int64
}

// beforeHeaders classifies errors that occurred before the endpoint's headers were read.
func (v *classifier) beforeHeaders(ctx context.Context, err error) *fault.Fault {
	var (
		denied *denial
		dns    *net.DNSError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &denied):
		return blocked(v.place, denied)
	case ctx.Err() != nil:
		return v.overtime(ctx, err)
	case errors.As(err, &dns):
		return v.dns(dns, err)
	case errors.As(err, &op) && op.Op == "dial" && !isReset(err):
		return fault.Wrap(fault.Connect, err, "could not connect to host %s: %s", v.place, connectWhy(err))
	case v.progress.handshakeFailed() || isTLS(err):
		return v.handshake(err)
	case isTimeout(err):
		return v.overtime(ctx, err)
	case v.progress.received() >= v.headerLimit && v.headerLimit > 0:
		return fault.Wrap(fault.TooLarge, err, "the response headers of host %s are larger than %d bytes: let it send fewer",
			v.place.host, v.headerLimit)
	case isReset(err) || v.progress.ended():
		return v.reset(err)
	case v.progress.answered() || isProtocol(err):
		// This includes HTTP/2 headers that are too large once decompressed: the transport has no error type for them.
		return fault.Wrap(fault.BadResponse, err, "the response of host %s is not valid HTTP: check address and "+
			"port, and the size of its headers", v.place)
	}
	// The remaining errors have no exported type: the endpoint closed a kept-alive connection, or reset an HTTP/2 stream.
	return v.reset(err)
}

// inBody classifies errors that occurred while the body was read.
func (v *classifier) inBody(ctx context.Context, err error) *fault.Fault {
	if ctx.Err() != nil || isTimeout(err) {
		return v.overtime(ctx, err)
	}
	return fault.Wrap(fault.Reset, err, "the response of host %s broke off inside the body: see the endpoint's log",
		v.place.host)
}

// overtime distinguishes a timeout from a step that the workflow cancelled. Any other end of the caller's context, such
// as a worker that stops, is the fault of neither the endpoint nor the step and can be retried.
func (v *classifier) overtime(ctx context.Context, err error) *fault.Fault {
	switch cause := context.Cause(ctx); {
	case cause == nil || errors.Is(cause, ErrAttempt):
		return fault.Wrap(fault.Timeout, err, "host %s did not answer within %s: make the endpoint faster or the timeout longer",
			v.place.host, v.timeout)
	case errors.Is(cause, context.DeadlineExceeded):
		return fault.Wrap(fault.Timeout, err, "host %s did not answer before the step's deadline", v.place.host)
	case errors.Is(cause, ErrCancelled):
		return fault.Wrap(fault.Cancelled, err, "the call of host %s was cancelled", v.place.host)
	}
	return fault.Wrap(fault.Internal, err, "the call of host %s was interrupted in its worker", v.place.host)
}

func (v *classifier) dns(dns *net.DNSError, err error) *fault.Fault {
	if dns.IsNotFound {
		return fault.Wrap(fault.DNS, err, "host %s has no address: check its spelling", v.place.host)
	}
	return fault.Wrap(fault.DNS, err, "the address of host %s could not be looked up: check the name servers", v.place.host)
}

// handshake distinguishes an endpoint that cannot be trusted or does not speak TLS, which a retry does not change, from one
// that was slow or closed the connection.
func (v *classifier) handshake(err error) *fault.Fault {
	switch {
	case isTimeout(err):
		return fault.Wrap(fault.Timeout, err, "the TLS handshake with host %s took too long", v.place.host)
	case isReset(err):
		return v.reset(err)
	}
	return fault.Wrap(fault.TLS, err, "no trusted TLS connection to host %s: %s", v.place, tlsWhy(err))
}

func (v *classifier) reset(err error) *fault.Fault {
	if v.progress.missedCertificate() {
		return fault.Wrap(fault.TLS, err, "host %s refused the connection: it requires a client certificate and none is "+
			"configured",
			v.place)
	}
	return fault.Wrap(fault.Reset, err, "host %s closed the connection before it answered", v.place.host)
}

func connectWhy(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case isTimeout(err):
		return "connect timeout"
	}
	return "see the worker's log"
}

func tlsWhy(err error) string {
	var (
		host      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &host):
		return "the certificate is for another name"
	case errors.As(err, &authority):
		return "the certificate is signed by an unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "the certificate is not valid"
	case errors.As(err, &record):
		return "the port does not speak TLS"
	}
	return "no common TLS version, or the endpoint refused the handshake"
}

// isTLS reports whether an error is a TLS failure after the handshake, for example when an endpoint with TLS 1.3 requires a
// client certificate. The type of an alert is not exported; the operation that carries it is.
func isTLS(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		op          *net.OpError
	)
	return errors.As(err, &certificate) || errors.As(err, &record) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isReset(err error) bool {
	for _, target := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func isProtocol(err error) bool {
	var protocol textproto.ProtocolError
	return errors.As(err, &protocol)
}
