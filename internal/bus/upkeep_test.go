package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// operations are one of each kind that the programs do, by the stream that it needs.
func operations(t *testing.T, js jetstream.JetStream, s bus.Streams) map[string]func(context.Context) error {
	t.Helper()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	empty := json.RawMessage(`{}`)
	set := store.UserUpdate{
		Members: empty, Merge: func(_, _ json.RawMessage) (json.RawMessage, error) { return empty, nil },
	}
	return map[string]func(context.Context) error{
		schemas.StreamEvents: func(ctx context.Context) error {
			_, _, err := bus.NewPublisher(js).PublishEvent(ctx, key, []byte("{}"), "e-1", nil)
			return err
		},
		schemas.StreamReplies: func(ctx context.Context) error {
			return bus.NewPublisher(js).PublishReply(ctx, key.BotID, bus.AReply())
		},
		schemas.StreamDeadLetters: func(ctx context.Context) error {
			return bus.NewDeadLetters(js, s).Write(ctx, bus.NewFailedEvent("shop", "c", []byte("{"), nil, time.Now()), fault.New(fault.BadEvent, "bad"))
		},
		bus.StreamQueues: func(ctx context.Context) error {
			return store.NewQueues(js, s).Add(ctx, key, "NOTIFY", "e-1", []byte("{}"))
		},
		"KV_" + bus.BucketUsers: func(ctx context.Context) error {
			_, err := store.NewUsers(js, s).Update(ctx, "acme", "alice", set)
			return err
		},
		"KV_" + bus.BucketChats: func(ctx context.Context) error {
			_, err := store.NewChats(js, s).Remember(ctx, key.BotID, "chat", "c-1", 1)
			return err
		},
		"KV_" + bus.BucketEndpoints: func(ctx context.Context) error {
			return store.NewEndpoints(s).Tell(ctx, key.BotID, "https://a.example", []byte("{}"))
		},
		"KV_" + bus.BucketPauses:   func(ctx context.Context) error { return store.NewPauses(s).Put(ctx, store.Pause{BotID: key.BotID}) },
		"KV_" + bus.BucketRedrives: func(ctx context.Context) error { return store.NewRedrives(s).Put(ctx, "name", 1) },
		"KV_" + bus.BucketKeys: func(ctx context.Context) error {
			_, err := sharedKey(ctx, js, s, "fresh")
			return err
		},
		"KV_" + bus.BucketClaims: func(ctx context.Context) error {
			_, err := store.NewClaims(s).Claim(ctx, "acme", "claim")
			return err
		},
		"KV_" + bus.BucketChannels: func(ctx context.Context) error {
			_, err := store.NewChannels(s).Put(ctx, "id", []byte("{}"), 0)
			return err
		},
		schemas.StreamAudit: func(ctx context.Context) error {
			return bus.NewAudit(js).Write(ctx, schemas.NewAuditEvent(time.Now(), "", schemas.Audited{Action: schemas.AuditSetup}))
		},
		bus.StreamOwnerAudit: func(ctx context.Context) error {
			return bus.ReadAudit(ctx, s, bus.AuditFilter{}, func(schemas.AuditEvent) bool { return true })
		},
		"KV_" + bus.BucketPosted: func(ctx context.Context) error { return store.NewPosted(s).Reserve(ctx, key, "e-1", "x") },
		"KV_" + bus.BucketStarters: func(ctx context.Context) error {
			_, err := s.Bucket(bus.BucketStarters).Put(ctx, "me", []byte("here"))
			return err
		},
		"OBJ_" + bus.BucketFiles: func(ctx context.Context) error {
			_, err := store.NewFiles(s).Put(ctx, key.BotID, store.File{Name: "a"}, strings.NewReader("text"))
			return err
		},
	}
}

// sharedKey returns the key that signs, and stores one when there is none.
func sharedKey(ctx context.Context, js jetstream.JetStream, s bus.Streams, fresh string) (key string, err error) {
	_, err = store.NewKeys(js, s).Share(ctx, store.SharedKey{
		Name: "purpose", Create: func() ([]byte, error) { return []byte(fresh), nil },
		Use: func(keys [][]byte) error { key = string(keys[0]); return nil },
	})
	return key, err
}

// TestUpkeep_VanishedStream deletes each stream and bucket while a process runs: the operation that needs it succeeds.
func TestUpkeep_VanishedStream(t *testing.T) {
	t.Parallel()
	_, js, s := bus.SetupForTest(t, bus.StreamOptions{})
	all := operations(t, js, s)
	for _, name := range bus.StreamNames() {
		require.Contains(t, all, name, "no operation tests this stream")
	}
	for name, operation := range all {
		restored := s.Restored(name)
		require.NoError(t, js.DeleteStream(bus.TestContext(t), name), name)
		require.NoError(t, operation(bus.TestContext(t)), name)
		<-restored
		require.NoError(t, bus.Ready(bus.TestContext(t), js), name)
	}
}

// Reading must not fail either.
func TestUpkeep_VanishedStreamIsRead(t *testing.T) {
	t.Parallel()
	_, js, s := bus.SetupForTest(t, bus.StreamOptions{})
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, read := range map[string]func(context.Context) error{
		bus.StreamQueues: func(ctx context.Context) error {
			_, err := store.NewQueues(js, s).Head(ctx, shop, "NOTIFY")
			return err
		},
		"KV_" + bus.BucketUsers: func(ctx context.Context) error {
			_, err := store.NewUsers(js, s).Get(ctx, "acme", "alice")
			return err
		},
		"KV_" + bus.BucketChats: func(ctx context.Context) error {
			_, err := store.NewChats(js, s).Conversation(ctx, shop, "chat")
			return err
		},
		schemas.StreamDeadLetters: func(ctx context.Context) error {
			_, err := bus.NewDeadLetters(js, s).List(ctx, bus.DeadLetterFilter{})
			return err
		},
		"KV_" + bus.BucketStarters: func(ctx context.Context) error {
			_, err := s.BucketLog(bus.BucketStarters).Info(ctx)
			return err
		},
	} {
		require.NoError(t, js.DeleteStream(bus.TestContext(t), name), name)
		require.NoError(t, read(bus.TestContext(t)), name)
	}
}

// TestUpkeep_PartitionsAreKept: a process without a number of partitions of its own creates a stream that vanished with the
// number that it had, and follows another number.
func TestUpkeep_PartitionsAreKept(t *testing.T) {
	t.Parallel()
	srv := bus.StartServerAt(t, server.RANDOM_PORT, t.TempDir())
	ctx := bus.TestContext(t)
	_, err := bus.Setup(ctx, bus.ConnectTo(t, srv), bus.StreamOptions{Partitions: 4})
	require.NoError(t, err)
	js := bus.ConnectTo(t, srv)
	s, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(ctx, schemas.StreamEvents))
	require.NoError(t, bus.Ready(ctx, js))
	require.Equal(t, 4, s.PartitionsNow())

	changed, err := bus.Repartition(ctx, js, 6)
	require.NoError(t, err)
	require.True(t, changed)
	require.NoError(t, bus.Ready(ctx, js))
	require.Equal(t, 6, s.PartitionsNow())
	require.NoError(t, js.DeleteStream(ctx, schemas.StreamEvents))
	require.NoError(t, bus.Ready(ctx, js))
	require.Equal(t, 6, s.PartitionsNow())

	config := s.Events().CachedInfo().Config
	config.SubjectTransform = nil
	_, err = js.UpdateStream(ctx, config)
	require.NoError(t, err)
	require.NoError(t, bus.Ready(ctx, js))
	require.False(t, s.Partitioned())
}

// TestUpkeep_OldPositionsFindNothing: a sequence of before names nothing in a stream that was created again, whatever is
// stored there since.
func TestUpkeep_OldPositionsFindNothing(t *testing.T) {
	t.Parallel()
	_, js, s := bus.SetupForTest(t, bus.StreamOptions{})
	ctx := bus.TestContext(t)
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	queues, letters, starters := store.NewQueues(js, s), bus.NewDeadLetters(js, s), s.Bucket(bus.BucketStarters)
	write := func(id string) (revision uint64) {
		require.NoError(t, queues.Add(ctx, key, "NOTIFY", id, []byte(id)))
		require.NoError(t, letters.Write(ctx, bus.NewFailedEvent("shop", id, []byte("{"), nil, time.Now()), fault.New(fault.BadEvent, "bad")))
		revision, err := starters.Put(ctx, "lease", []byte(id))
		require.NoError(t, err)
		return revision
	}
	revision := write("old")
	entry, err := queues.Head(ctx, key.BotID, "NOTIFY")
	require.NoError(t, err)
	require.NoError(t, bus.Ready(ctx, js))
	for _, name := range []string{bus.StreamQueues, schemas.StreamDeadLetters, "KV_" + bus.BucketStarters} {
		require.NoError(t, js.DeleteStream(ctx, name))
	}
	require.NoError(t, bus.Ready(ctx, js))
	write("new")

	require.NoError(t, queues.Remove(ctx, key.BotID, "NOTIFY", entry.Sequence, "")) // as an earlier release removes it
	head, err := queues.Head(ctx, key.BotID, "NOTIFY")
	require.NoError(t, err)
	require.Equal(t, "new", string(head.Data), "an entry that is gone is removed, not the one that came since")
	_, err = letters.Show(ctx, 1)
	require.ErrorIs(t, err, bus.ErrNoDeadLetter)
	_, err = starters.Update(ctx, "lease", []byte("old"), revision)
	require.True(t, natsclient.IsConflict(err), "a revision of before is not that of the entry: %v", err)
}

// TestUpkeep_EmptyVolume restarts the server without its files, under a process that has keys and watches.
func TestUpkeep_EmptyVolume(t *testing.T) {
	t.Parallel()
	srv := bus.StartServerAt(t, server.RANDOM_PORT, t.TempDir())
	js := bus.ConnectTo(t, srv)
	s, err := bus.Setup(bus.TestContext(t), js, bus.StreamOptions{StarterTTL: 2 * time.Second})
	require.NoError(t, err)
	key, err := sharedKey(bus.TestContext(t), js, s, "first")
	require.NoError(t, err)
	_, err = store.NewChannels(s).Put(bus.TestContext(t), "old", []byte("{}"), 0)
	require.NoError(t, err)

	var mu sync.Mutex
	channels, told := map[string]bool{}, 0
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = store.NewChannels(s).Follow(ctx, func() {}, func(id string, channel []byte, _ uint64) {
			mu.Lock()
			defer mu.Unlock()
			channels[id] = channel != nil
		}, func() {})
	})
	running.Go(func() {
		_ = store.NewEndpoints(s).Follow(ctx, func([]byte) { mu.Lock(); defer mu.Unlock(); told++ }, func() {})
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	seen := func(yes func() bool) func() bool { return func() bool { mu.Lock(); defer mu.Unlock(); return yes() } }
	require.Eventually(t, seen(func() bool { return channels["old"] }), bus.Soon, bus.Poll)

	address, ok := srv.Addr().(*net.TCPAddr)
	require.True(t, ok)
	srv.Shutdown()
	srv.WaitForShutdown()
	bus.StartServerAt(t, address.Port, t.TempDir())
	require.Eventually(t, func() bool { // a request that was on the wire when the server stopped is never answered
		once, cancel := context.WithTimeout(ctx, bus.Soon/10)
		defer cancel()
		return bus.Ready(once, js) == nil
	}, bus.Soon, bus.Poll)
	for name, operation := range operations(t, js, s) {
		require.NoError(t, operation(bus.TestContext(t)), name)
	}
	again, err := sharedKey(bus.TestContext(t), js, s, "again")
	require.NoError(t, err)
	require.Equal(t, key, again, "addresses that were given out stay valid")
	require.Eventually(t, seen(func() bool { return !channels["old"] && channels["id"] && told > 0 }), bus.Soon, bus.Poll, "the watches go on")
}

// TestUpkeep_LookCompares: a look compares shared values also when no stream is missing, and their failure makes no process
// not ready.
func TestUpkeep_LookCompares(t *testing.T) {
	t.Parallel()
	_, js, s := bus.SetupForTest(t, bus.StreamOptions{})
	looks := 0
	s.OnLook(func(context.Context) error { looks++; return errors.New("denied") })
	s.OnLook(func(context.Context) error { looks++; return nil })
	require.NoError(t, bus.Ready(bus.TestContext(t), js))
	require.Equal(t, 2, looks)

	restored := s.Restored(bus.StreamQueues)
	require.NoError(t, js.DeleteStream(bus.TestContext(t), bus.StreamQueues))
	require.NoError(t, bus.Ready(bus.TestContext(t), js), "a comparison that fails does not keep a restoration from its end")
	select {
	case <-restored:
	default:
		t.Fatal("the restoration was not recorded")
	}
}
