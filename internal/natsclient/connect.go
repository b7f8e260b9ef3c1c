package natsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/hookturn/hookturn/internal/retry"
)

const (
	connectTimeout = 3 * time.Second
	reconnectWait  = 250 * time.Millisecond
	pingInterval   = 5 * time.Second
)

// ErrUnreachable reports that a server did not accept a connection before the context of the attempt ended.
var ErrUnreachable = errors.New("not reachable in time")

// Connect connects to NATS. It retries until ctx ends and logs every failure; a login that can never work is an error at
// once. Once connected it reconnects for ever. name is the connection's name on the server.
func (l Login) Connect(
	ctx context.Context, name string, logger *slog.Logger, more ...ConnectOption,
) (*nats.Conn, jetstream.JetStream, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	logger = logger.With("nats", l.Address())
	rights := newRights(logger)
	login, err := l.options()
	if err != nil {
		return nil, nil, err
	}
	options := append(connectOptions(name, logger, rights), login...)
	for _, one := range more {
		option, err := one()
		if err != nil {
			return nil, nil, err
		}
		options = append(options, option)
	}
	var nc *nats.Conn
	var last error
	var found natscontext.Settings
	err = backoff.RetryNotify(func() (err error) {
		nc, found, err = l.dial(options)
		return err
	}, backoff.WithContext(retry.Backoff(100*time.Millisecond, 5*time.Second), ctx), func(err error, wait time.Duration) {
		last = err
		logger.WarnContext(ctx, "connecting to nats failed, will retry", "error", err, "retry_in", wait, "hint",
			connectAdvice(err))
	})
	if errors.Is(err, context.DeadlineExceeded) && last != nil {
		err = fmt.Errorf("%w: %w", ErrUnreachable, last)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to nats at %s: %w: %s", l.Address(), err, connectAdvice(err))
	}
	rights.inbox = inboxPrefixOf(nc)
	js, err := l.jetStream(nc, found)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("use jetstream at %s: %w", l.Address(), err)
	}
	return nc, guardedJetStream{js, guard{rights: rights}}, nil
}

// ConnectOption is an option of a connection.
type ConnectOption func() (nats.Option, error)

// inboxPrefixOf returns the inbox prefix of a connection.
func inboxPrefixOf(nc *nats.Conn) string {
	inbox := nc.NewInbox()
	return inbox[:strings.LastIndex(inbox, ".")]
}

// OnClosed calls closed once when the connection has ended permanently: after Close, and when the server has closed it
// for a reason that a reconnection would not change.
func OnClosed(closed func(reason error)) ConnectOption {
	return func() (nats.Option, error) {
		return nats.ClosedHandler(func(nc *nats.Conn) { closed(nc.LastError()) }), nil
	}
}

// connectOptions returns the options of a connection. The pings detect a dead server in about 15 s. The reconnect buffer
// keeps its default size, so that acknowledgements survive a short interruption.
func connectOptions(name string, logger *slog.Logger, rights *rights) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password that is rotated on the server first must not end the connection
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, time.Second),
		nats.PingInterval(pingInterval),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Warn("nats connection lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			rights.reset()
			logger.Info("nats connection restored", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			if !rights.violation(nc, err) {
				logger.Warn("nats error reported", "error", err)
			}
		}),
	}
}

func connectAdvice(err error) string {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "the server rejects the credentials: check the user and password of HOOKTURN_NATS_URL, HOOKTURN_NATS_CREDS, " +
			"HOOKTURN_NATS_NKEY or NATS_CONTEXT, whichever is set"
	case isUnknownAuthority(err):
		return "the certificate of the server is not trusted: set --nats-ca or HOOKTURN_NATS_CA to the PEM file of its authority"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return "only one of server and client uses TLS: check the scheme of HOOKTURN_NATS_URL"
	}
	return "check that the server runs and that HOOKTURN_NATS_URL is its address"
}

func isUnknownAuthority(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	return unverified
}

// isBadAddress reports whether an address, or one of a list of them, is invalid.
func isBadAddress(address string) bool {
	for one := range strings.SplitSeq(address, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one // as nats.go reads it
		}
		if _, err := url.Parse(one); err != nil {
			return true
		}
	}
	return false
}

// redacted returns an address (or a list of them) without user and password.
func redacted(address string) string {
	var clean []string
	for one := range strings.SplitSeq(address, ",") {
		if at := strings.LastIndex(one, "@"); at >= 0 {
			host := one[at+1:]
			if scheme, _, found := strings.Cut(one[:at], "://"); found {
				host = scheme + "://" + host
			}
			one = host
		}
		clean = append(clean, strings.TrimSpace(one))
	}
	return strings.Join(clean, ",")
}
