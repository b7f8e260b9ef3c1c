package natsclient_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/schemas"
)

// deniedRig is a server with an owner that may do everything, and with bob, who lacks some permissions.
type deniedRig struct {
	js      jetstream.JetStream
	streams bus.Streams
	log     *natsclient.LockedBuffer
}

// startDenied starts a server on which bob may not publish to some subjects, or not subscribe to some.
func startDenied(t *testing.T, publish, subscribe []string) deniedRig {
	t.Helper()
	bob := &server.User{Username: "bob", Password: "bob", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: publish},
		Subscribe: &server.SubjectPermission{Deny: subscribe},
	}}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "owner", Password: "owner"}, bob},
	})
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(natsclient.Soon))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	connect := func(user string, log *natsclient.LockedBuffer) jetstream.JetStream {
		nc, js, err := bus.Connect(natsclient.TestContext(t), natsclient.Login{URL: "nats://" + user + ":" + user + "@" + s.Addr().String()}, t.Name(),
			slog.New(slog.NewTextHandler(log, nil)))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		return js
	}
	r := deniedRig{log: &natsclient.LockedBuffer{}}
	owner := connect("owner", &natsclient.LockedBuffer{})
	r.streams, err = bus.Setup(natsclient.TestContext(t), owner, bus.StreamOptions{})
	require.NoError(t, err)
	r.js = connect("bob", r.log)
	return r
}

// failsAtOnce runs an operation and requires that it ends because of the missing permission, not at its deadline.
func failsAtOnce(t *testing.T, subject string, operation func(context.Context) error) {
	t.Helper()
	ctx := natsclient.TestContext(t)
	err := operation(ctx)
	require.NoError(t, ctx.Err(), "the operation ended at the deadline of the test")
	denied := &natsclient.DeniedError{}
	require.ErrorAs(t, err, &denied)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.Equal(t, subject, denied.Subject)
	require.ErrorContains(t, err, "bob")
	require.ErrorContains(t, err, "permissions")
}

func TestRights_DeniedOperationEndsAtOnce(t *testing.T) { //nolint:tparallel // subtests share a connection
	t.Parallel()
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	r := startDenied(t, []string{
		"$JS.API.STREAM.CREATE.>", "$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES.>", "$JS.API.CONSUMER.MSG.NEXT.HOOKTURN_REPLIES.>", "$JS.API.DIRECT.GET.HOOKTURN_REPLIES",
		"$JS.API.STREAM.MSG.GET.HOOKTURN_EVENTS", "$JS.API.STREAM.PURGE.>", "$JS.API.DIRECT.GET.KV_HOOKTURN_USERS.>",
		"$KV.HOOKTURN_CHATS.>", "hookturn.replies.acme.shop.denied", "hookturn.sockets.>",
	}, nil)
	ctx := natsclient.TestContext(t)
	streams, err := bus.Setup(ctx, r.js, bus.StreamOptions{})
	require.NoError(t, err, "everything exists")
	reply := schemas.Reply{SpecVersion: "1.0", ID: "r1", Type: schemas.TypeStepReplied, Source: shop.Source(), Subject: "denied"}
	for subject, operation := range map[string]func(context.Context) error{
		"$JS.API.STREAM.CREATE.other": func(ctx context.Context) error {
			_, err := r.js.CreateStream(ctx, jetstream.StreamConfig{Name: "other", Subjects: []string{"other"}})
			return err
		},
		"$JS.API.STREAM.MSG.GET.HOOKTURN_EVENTS": func(ctx context.Context) error {
			_, err := streams.Events().GetMsg(ctx, 1)
			return err
		},
		"$JS.API.STREAM.PURGE.KV_HOOKTURN_STARTERS": func(ctx context.Context) error {
			return streams.BucketLog(bus.BucketStarters).Purge(ctx)
		},
		"$JS.API.DIRECT.GET.KV_HOOKTURN_USERS.$KV.HOOKTURN_USERS.k": func(ctx context.Context) error {
			_, err := streams.Bucket(bus.BucketUsers).Get(ctx, "k")
			return err
		},
		"$KV.HOOKTURN_CHATS.k": func(ctx context.Context) error {
			_, err := streams.Bucket(bus.BucketChats).Put(ctx, "k", nil)
			return err
		},
		"hookturn.replies.acme.shop.denied": func(ctx context.Context) error {
			return bus.NewPublisher(r.js).PublishReply(ctx, shop, reply)
		},
		"hookturn.sockets.g1": func(ctx context.Context) error {
			_, err := pubsub.New(r.js).Request(ctx, "g1", nil)
			return err
		},
	} {
		t.Run(subject, func(t *testing.T) { //nolint:paralleltest // the denials of one connection
			failsAtOnce(t, subject, operation)
		})
	}
	t.Run("reading replies", func(t *testing.T) { //nolint:paralleltest // as above
		err := bus.NewReplies(streams).Follow(natsclient.TestContext(t), bus.Tail{}, nil, nil)
		require.True(t, natsclient.IsDenied(err), "%v", err)
		err = bus.Follow(natsclient.TestContext(t), r.js, bus.Tail{}, nil, nil)
		require.True(t, natsclient.IsDenied(err), "%v", err)
	})
	_, err = streams.Bucket(bus.BucketUsers).Put(ctx, "k", nil)
	require.NoError(t, err, "what is permitted goes on")
}

func TestRights_NotReadyAndOneLogLine(t *testing.T) {
	t.Parallel()
	r := startDenied(t, []string{"$KV.HOOKTURN_CHATS.>"}, nil)
	streams, err := bus.Setup(natsclient.TestContext(t), r.js, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, bus.Ready(natsclient.TestContext(t), r.js))
	for range 20 {
		_, err = streams.Bucket(bus.BucketChats).Put(natsclient.TestContext(t), "k", nil)
		require.True(t, natsclient.IsDenied(err), "%v", err)
	}
	require.ErrorContains(t, bus.Ready(natsclient.TestContext(t), r.js), `"$KV.HOOKTURN_CHATS.k"`)
	require.Equal(t, 1, strings.Count(r.log.String(), "\n"), r.log)
	require.Contains(t, r.log.String(), "subject=$KV.HOOKTURN_CHATS.k user=bob")
	natsclient.AgeDenials(r.js)
	require.NoError(t, bus.Ready(natsclient.TestContext(t), r.js), "an old denial that is not repeated does not count")
}

// TestRights_MissingInbox is the user whose permissions name an inbox prefix that the process does not use: each request
// would wait for its response.
func TestRights_MissingInbox(t *testing.T) {
	t.Parallel()
	r := startDenied(t, nil, []string{"_INBOX.>"})
	for range 2 { // the library subscribes at the first request only
		_, err := bus.Setup(natsclient.TestContext(t), r.js, bus.StreamOptions{})
		require.True(t, natsclient.IsDenied(err), "%v", err)
		require.ErrorContains(t, err, "--nats-inbox-prefix")
	}
	require.ErrorContains(t, bus.Ready(natsclient.TestContext(t), r.js), "--nats-inbox-prefix")
}

func TestRights_DeniedSubscription(t *testing.T) {
	t.Parallel()
	r := startDenied(t, nil, []string{"hookturn.sockets.>"})
	stop, err := pubsub.New(r.js).Respond("g1", nil)
	require.NoError(t, err)
	defer stop(natsclient.TestContext(t))
	require.Eventually(t, func() bool { return natsclient.IsDenied(bus.Ready(natsclient.TestContext(t), r.js)) }, natsclient.Soon, natsclient.Poll)
}
