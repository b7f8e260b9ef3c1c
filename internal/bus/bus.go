// Package bus has the streams and buckets of hookturn in JetStream: it creates them and keeps them in existence, and
// publishes and reads events, replies, dead letters and audit events. Package eventreader reads the events for their
// conversations, package store reads and writes the buckets, package quota counts what tenants store. The connection is that
// of package natsclient; no other package uses JetStream.
package bus

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
)

// JetStream is the JetStream context of a connection, for packages that pass it on without using its messages.
type JetStream = jetstream.JetStream

// HeaderTTL is the header with the time for which an event is useful, see Expires.
const HeaderTTL = jetstream.MsgTTLHeader

// Connect connects to NATS by the rules of natsclient.Login.Connect. What Setup creates on the connection is created again
// when it has vanished, and Ready knows which writes were rejected.
func Connect(
	ctx context.Context, login natsclient.Login, name string, logger *slog.Logger, more ...natsclient.ConnectOption,
) (*nats.Conn, jetstream.JetStream, error) {
	nc, js, err := login.Connect(ctx, name, logger, more...)
	if err != nil {
		return nil, nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	natsclient.IgnoreDenials(js, probeSubject) // other writes show whether JetStream stores them
	return nc, natsclient.WithUpkeep(js, newUpkeep(js, logger.With("nats", login.Address()))), nil
}
