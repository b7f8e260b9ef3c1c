package permissions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

const (
	soon = time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond
)

// rig is a server with two engines, and with the streams that the setup user has made.
type rig struct {
	server *server.Server
}

// startRig starts a server in which each password is the user's name.
func startRig(t *testing.T) rig {
	t.Helper()
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}
	require.NoError(t, options.ProcessConfigString(Accounts(Config{
		Engines:  []Engine{{Tenant: "acme", User: "acme-engine"}, {Tenant: "globex", User: "globex-engine"}},
		Password: strconv.Quote,
	})))
	options.Host, options.Port, options.JetStream, options.NoLog, options.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true, true
	s, err := server.NewServer(options)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(soon))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	r := rig{s}
	_, js := r.connect(t, Setup)
	_, err = bus.Plan(testContext(t), js, bus.StreamOptions{Partitions: 2}, []string{"acme", "globex"})
	require.NoError(t, err)
	_, err = bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 2})
	require.NoError(t, err)
	for _, tenant := range []string{"acme", "globex"} {
		require.NoError(t, bus.EnsureEngine(testContext(t), js, tenant))
		require.NoError(t, bus.EnsureEngine(testContext(t), js, tenant), "a second setup changes nothing")
	}
	return r
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	return ctx
}

func (r rig) url(user string) string {
	return fmt.Sprintf("nats://%s:%s@%s", user, user, r.server.Addr())
}

// connect connects as one of hookturn's users.
func (r rig) connect(t *testing.T, user string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	of, found := UserOf(user)
	require.True(t, found, user)
	nc, js, err := bus.Connect(testContext(t),
		natsclient.Login{URL: r.url(user), Domain: of.Domain(), InboxPrefix: InboxPrefix(user)}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc, js
}

// engine connects as an engine would: with nothing but its user and password.
func (r rig) engine(t *testing.T, tenant string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(r.url(tenant+"-engine"), nats.Timeout(soon),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.NewWithDomain(nc, Domain, jetstream.WithDefaultTimeout(soon))
	require.NoError(t, err)
	return nc, js
}

// TestAccounts_StreamsOfTheGlobalAccountMove is the upgrade that docs/operations.md describes: before there were
// accounts, all streams were in the global one.
func TestAccounts_StreamsOfTheGlobalAccountMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(accounts string) *server.Server {
		options := &server.Options{}
		require.NoError(t, options.ProcessConfigString(accounts))
		options.Host, options.Port, options.JetStream, options.NoLog, options.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true, true
		options.StoreDir = dir
		s, err := server.NewServer(options)
		require.NoError(t, err)
		s.Start()
		require.True(t, s.ReadyForConnections(soon))
		return s
	}
	stop := func(s *server.Server) {
		s.Shutdown()
		s.WaitForShutdown()
	}
	old := start("max_payload: 2MB")
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: old.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	_, err = bus.Setup(testContext(t), js, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = js.Publish(testContext(t), "hookturn.events.acme.shop.c", []byte("kept"))
	require.NoError(t, err)
	nc.Close()
	stop(old)

	require.NoError(t, os.Rename(filepath.Join(dir, "jetstream", "$G"), filepath.Join(dir, "jetstream", Account)))
	moved := start(Accounts(Config{Password: strconv.Quote}))
	defer stop(moved)
	r := rig{moved}
	require.EqualValues(t, 1, r.state(t)["HOOKTURN_EVENTS"])
}
