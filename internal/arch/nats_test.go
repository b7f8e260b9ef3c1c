package arch

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const natsPatience = 10 * time.Second

// startNATS runs a server by deploy/nats-server.conf, with its ports and its store moved to where a test may put them.
func startNATS(t *testing.T) (*server.Options, *server.Server) {
	t.Helper()
	t.Setenv("NATS_PASSWORD", "password-of-hookturn")
	t.Setenv("NATS_ENGINE_PASSWORD", "password-of-engine")
	options, err := server.ProcessConfigFile(filepath.Join(repoRoot, "deploy", "nats-server.conf"))
	require.NoError(t, err)
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.HTTPHost, options.HTTPPort = "127.0.0.1", 0
	options.StoreDir = t.TempDir()
	options.NoSigs = true

	instance, err := server.NewServer(options)
	require.NoError(t, err)
	instance.Start()
	t.Cleanup(func() {
		instance.Shutdown()
		instance.WaitForShutdown()
	})
	require.True(t, instance.ReadyForConnections(natsPatience), "the NATS server did not start")
	return options, instance
}

func connect(t *testing.T, url, user, password string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	connection, err := nats.Connect(url, nats.UserInfo(user, password))
	require.NoError(t, err)
	t.Cleanup(connection.Close)
	js, err := jetstream.New(connection)
	require.NoError(t, err)
	return connection, js
}

func TestNATSKeepsWhatItAcknowledged(t *testing.T) {
	options, _ := startNATS(t)
	require.True(t, options.JetStream)
	require.True(t, options.SyncAlways, "an acknowledged event must survive a power cut")
	require.Positive(t, options.JetStreamMaxStore, "without a bound a full disk switches JetStream off")
	require.GreaterOrEqual(t, int(options.MaxPayload), 1<<20, "the contract allows messages of 1 MiB")
}

func TestNATSLetsNobodyInWithoutAPassword(t *testing.T) {
	_, instance := startNATS(t)
	_, err := nats.Connect(instance.ClientURL())
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestNATSGivesTheEngineItsOwnSubjectsOnly(t *testing.T) {
	_, instance := startNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), natsPatience)
	defer cancel()
	_, owner := connect(t, instance.ClientURL(), "hookturn", "password-of-hookturn")
	for name, subjects := range map[string]string{
		"HOOKTURN_EVENTS":  "hookturn.events.>",
		"HOOKTURN_REPLIES": "hookturn.replies.>",
	} {
		_, err := owner.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subjects}})
		require.NoError(t, err)
	}
	refused := make(chan error, 1)
	connection, engine := connect(t, instance.ClientURL(), "engine", "password-of-engine")
	connection.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	})

	_, err := engine.Publish(ctx, "hookturn.events.default.shop.c-1", []byte(`{}`))
	require.NoError(t, err, "an engine publishes events")
	_, err = owner.Publish(ctx, "hookturn.replies.default.shop.c-1", []byte(`{}`))
	require.NoError(t, err)
	consumer, err := engine.CreateOrUpdateConsumer(ctx, "HOOKTURN_REPLIES", jetstream.ConsumerConfig{
		Durable: "engine", AckPolicy: jetstream.AckExplicitPolicy,
	})
	require.NoError(t, err, "an engine has a consumer of its own on the replies")
	message, err := consumer.Next(jetstream.FetchMaxWait(natsPatience))
	require.NoError(t, err, "an engine reads replies")
	require.NoError(t, message.DoubleAck(ctx), "an engine acknowledges replies")

	require.NoError(t, connection.Publish("hookturn.replies.default.shop.c-1", []byte(`{}`)))
	require.NoError(t, connection.Flush())
	select {
	case err := <-refused:
		require.ErrorIs(t, err, nats.ErrPermissionViolation, "an engine must not forge replies")
	case <-ctx.Done():
		require.Fail(t, "the engine could publish a reply")
	}
}
