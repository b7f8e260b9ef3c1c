package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

const (
	connectTimeout = 3 * time.Second
	reconnectWait  = 250 * time.Millisecond
	pingInterval   = 5 * time.Second
)

// Connect connects to NATS, trying again until ctx ends and logging every failure. Once connected it reconnects for
// ever. creds is the path of a credentials file, or empty; name is how the connection shows on the server.
func Connect(
	ctx context.Context, address, creds, name string, logger *slog.Logger,
) (*nats.Conn, jetstream.JetStream, error) {
	logger = orDiscard(logger).With("nats", redacted(address))
	options := connectOptions(name, logger)
	if creds != "" {
		if _, err := os.Stat(creds); err != nil {
			return nil, nil, fmt.Errorf("nats credentials: %w: check HOOKTURN_NATS_CREDS", err)
		}
		options = append(options, nats.UserCredentials(creds))
	}
	if isBadAddress(address) {
		// The parser's own error would quote the address, password and all.
		return nil, nil, errors.New("nats address cannot be parsed: check HOOKTURN_NATS_URL")
	}
	var nc *nats.Conn
	err := backoff.RetryNotify(func() (err error) {
		nc, err = nats.Connect(address, options...)
		return err
	}, backoff.WithContext(newBackoff(100*time.Millisecond, 5*time.Second), ctx), func(err error, wait time.Duration) {
		logger.Warn("cannot connect to nats, trying again", "error", err, "wait", wait, "todo", connectAdvice(err))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to nats at %s: %w: %s", redacted(address), err, connectAdvice(err))
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("use jetstream at %s: %w", redacted(address), err)
	}
	return nc, js, nil
}

// connectOptions: the pings find a server that went away without a word in about 15 s. The reconnect buffer keeps its
// default size, so that acknowledgements outlive a short interruption.
func connectOptions(name string, logger *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, time.Second),
		nats.PingInterval(pingInterval),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Warn("nats connection lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			logger.Info("nats connection is back", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger.Warn("nats reports an error", "error", err)
		}),
	}
}

func connectAdvice(err error) string {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "the server refuses the credentials: check HOOKTURN_NATS_CREDS"
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return "server and client disagree about TLS: check the scheme of HOOKTURN_NATS_URL"
	}
	return "check that the server runs and that HOOKTURN_NATS_URL names it"
}

// isBadAddress says whether no server could ever be reached under an address, or under one of a list of them.
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

// redacted is an address (or a list of them) without user and password.
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

// Ready says whether events can be taken in and replies sent: it asks JetStream itself for the account and the event
// stream. An open connection alone says nothing about either.
func Ready(ctx context.Context, js jetstream.JetStream) error {
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("jetstream does not answer: %w", err)
	}
	if _, err := js.Stream(ctx, schemas.StreamEvents); err != nil {
		return fmt.Errorf("stream %s: %w", schemas.StreamEvents, err)
	}
	return nil
}
