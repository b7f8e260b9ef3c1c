package arch

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/permissions"
)

const natsPatience = time.Minute

// startNATS runs a server by deploy/nats-server.conf, with its ports and its store moved to where a test may put them. The
// server does not wait for the disk at each write: on a slow disk a request would take longer than its client waits. It returns
// the options of the file.
func startNATS(t *testing.T) (*server.Options, *server.Server) {
	t.Helper()
	for _, user := range natsUsers() {
		t.Setenv(passwordVariable(user), "password-of-"+user)
	}
	options, err := server.ProcessConfigFile(filepath.Join(repoRoot, "deploy", "nats-server.conf"))
	require.NoError(t, err)
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.HTTPHost, options.HTTPPort = "127.0.0.1", 0
	options.StoreDir = t.TempDir()
	options.NoSigs = true

	running := options.Clone()
	running.SyncAlways = false
	instance, err := server.NewServer(running)
	require.NoError(t, err)
	instance.Start()
	t.Cleanup(func() {
		instance.Shutdown()
		instance.WaitForShutdown()
	})
	require.True(t, instance.ReadyForConnections(natsPatience), "the NATS server did not start")
	return options, instance
}

// natsUsers are the users of the shipped configuration.
func natsUsers() []string {
	users := []string{"engine"}
	for _, user := range permissions.Users() {
		users = append(users, user.Name)
	}
	return users
}

func userURL(instance *server.Server, user string) string {
	return "nats://" + user + ":password-of-" + user + "@" + instance.Addr().String()
}

func connect(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	connection, err := nats.Connect(url, nats.Timeout(natsPatience), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(connection.Close)
	js, err := jetstream.NewWithDomain(connection, permissions.Domain, jetstream.WithDefaultTimeout(natsPatience))
	require.NoError(t, err)
	return connection, js
}

func TestNATS_KeepsAcknowledgedMessages(t *testing.T) {
	options, _ := startNATS(t)
	require.True(t, options.JetStream)
	require.True(t, options.SyncAlways, "an acknowledged event must survive a power cut")
	require.Positive(t, options.JetStreamMaxStore, "without a bound a full disk switches JetStream off")
	require.GreaterOrEqual(t, int(options.MaxPayload), 1<<20, "the contract allows messages of 1 MiB")
}

func TestNATS_PasswordRequired(t *testing.T) {
	_, instance := startNATS(t)
	_, err := nats.Connect(instance.ClientURL(), nats.Timeout(natsPatience))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestNATS_AccountsAreTheTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(repoRoot, "deploy", "nats-server.conf")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const begin, end = "# begin accounts\n", "# end accounts\n"
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	have, after, found := strings.Cut(rest, end)
	require.True(t, found)
	want := permissions.Accounts(permissions.Config{
		Engines:  []permissions.Engine{{Tenant: "default", User: "engine"}},
		Password: func(user string) string { return "$" + passwordVariable(user) },
	})
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+want+end+after), 0o600))
		return
	}
	require.Equal(t, want, have, "write the file again: go test ./internal/arch -run TestNATS_AccountsAreTheTable -update")
}

var update = flag.Bool("update", false, "write the generated files and parts of documents again instead of comparing")

// passwordVariable is the variable of .env with the password of a user of NATS.
func passwordVariable(user string) string {
	if user == permissions.Operator {
		return "NATS_PASSWORD"
	}
	return "NATS_" + strings.ToUpper(user) + "_PASSWORD"
}

func TestNATS_EngineHasItsTenantsSubjectsOnly(t *testing.T) {
	_, instance := startNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), natsPatience)
	defer cancel()
	nc, owner, err := bus.Connect(ctx, natsclient.Login{
		URL: userURL(instance, permissions.Setup), InboxPrefix: permissions.InboxPrefix(permissions.Setup),
	}, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	_, err = bus.Setup(ctx, owner, bus.StreamOptions{})
	require.NoError(t, err, "a new stream or bucket belongs into the table of internal/permissions")
	require.NoError(t, bus.EnsureEngine(ctx, owner, "default"))
	operator, _ := connect(t, userURL(instance, permissions.Operator))
	engine, js := connect(t, userURL(instance, "engine"))

	_, err = js.Publish(ctx, "hookturn.events.default.shop.c-1", []byte(`{}`))
	require.NoError(t, err, "an engine publishes events")
	require.NoError(t, operator.Publish("hookturn.replies.default.shop.c-1", []byte(`{}`)))
	consumer, err := js.Consumer(ctx, "HOOKTURN_REPLIES", "default")
	require.NoError(t, err)
	message, err := consumer.Next(jetstream.FetchMaxWait(natsPatience))
	require.NoError(t, err, "an engine reads replies")
	require.NoError(t, message.DoubleAck(ctx), "an engine acknowledges replies")

	forged, err := operator.SubscribeSync("hookturn.replies.>")
	require.NoError(t, err)
	other, err := operator.SubscribeSync("hookturn.events.other.>")
	require.NoError(t, err)
	require.NoError(t, operator.Flush())
	require.NoError(t, engine.Publish("hookturn.replies.default.shop.c-1", []byte(`{}`)))
	require.NoError(t, engine.Publish("hookturn.events.other.shop.c-1", []byte(`{}`)))
	_, err = js.Publish(ctx, "hookturn.events.default.shop.c-1", []byte(`{}`)) // behind the forged ones
	require.NoError(t, err)
	require.NoError(t, operator.Flush())
	for _, heard := range []*nats.Subscription{forged, other} {
		queued, _, err := heard.Pending()
		require.NoError(t, err)
		require.Zero(t, queued, "an engine must not publish on %s", heard.Subject)
	}
}
