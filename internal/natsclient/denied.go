package natsclient

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeniedError reports that the server does not permit the user of a connection to use a subject. A server does not answer
// a request that it denies: it reports the subject on the connection, and the request would wait until its deadline.
type DeniedError struct {
	Subject string
	User    string
	// Subscribe reports that a subscription was denied; false: a publication or a request.
	Subscribe bool
	// Inbox reports that the subject is the one on which the connection receives responses.
	Inbox bool
}

// Error returns the subject, the user and what to do.
func (e *DeniedError) Error() string {
	switch {
	case e.Inbox:
		return fmt.Sprintf("nats user %s is not permitted to receive responses on %q: set --nats-inbox-prefix or "+
			"HOOKTURN_NATS_INBOX_PREFIX to the prefix that the user's permissions name", e.User, e.Subject)
	case e.Subscribe:
		return fmt.Sprintf("nats user %s is not permitted to subscribe to %q: add the subject to the user's permissions "+
			"and restart the process (docs/operations.md, NATS users and permissions)", e.User, e.Subject)
	}
	more := ""
	if strings.HasPrefix(e.Subject, jetstream.DefaultAPIPrefix) {
		more = ", or set --nats-domain or HOOKTURN_NATS_DOMAIN to the JetStream domain of a user with an account of its own"
	}
	return fmt.Sprintf("nats user %s is not permitted to publish to %q: add the subject to the user's permissions%s "+
		"(docs/operations.md, NATS users and permissions)", e.User, e.Subject, more)
}

// Unwrap returns the error of the NATS library.
func (*DeniedError) Unwrap() error { return nats.ErrPermissionViolation }

// IsDenied reports whether an operation failed because the NATS user does not have the permission for it.
func IsDenied(err error) bool {
	_, denied := errors.AsType[*DeniedError](err)
	return denied
}

// RetryLevel returns the level of a log line about a failure that is retried: debug for a missing permission, which the
// connection itself logs once a minute, else warn.
func RetryLevel(err error) slog.Level {
	if IsDenied(err) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// UserOf returns the name of a connection's user: user name, public key, or the name in its JWT.
func UserOf(nc *nats.Conn) string {
	if nc == nil {
		return "(unknown)"
	}
	if nc.Opts.User != "" {
		return nc.Opts.User
	}
	if u, err := url.Parse(nc.ConnectedUrl()); err == nil && u.User.Username() != "" {
		return u.User.Username()
	}
	if nc.Opts.Nkey != "" {
		return nc.Opts.Nkey
	}
	if nc.Opts.UserJWT != nil {
		if token, err := nc.Opts.UserJWT(); err == nil {
			if claims, err := jwt.DecodeUserClaims(token); err == nil {
				return claims.Name
			}
		}
	}
	return "(without a name)"
}
