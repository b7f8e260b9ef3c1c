package bus

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// operations are one of each kind that the programs do, by the stream that it needs.
func operations(t *testing.T, js jetstream.JetStream, s Streams) map[string]func(context.Context) error {
	t.Helper()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	set := func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(`{}`), nil }
	return map[string]func(context.Context) error{
		schemas.StreamEvents: func(ctx context.Context) error {
			_, _, err := NewPublisher(js).PublishEvent(ctx, key, []byte("{}"), "e-1", nil)
			return err
		},
		schemas.StreamReplies: func(ctx context.Context) error {
			return NewPublisher(js).PublishReply(ctx, key.BotID, aReply())
		},
		schemas.StreamDeadLetters: func(ctx context.Context) error {
			return NewDeadLetters(js, s).Write(ctx, failedEvent("shop", "c", []byte("{"), nil, time.Now()), fault.New(fault.BadEvent, "bad"))
		},
		StreamQueues: func(ctx context.Context) error { return NewQueues(js, s).Add(ctx, key, "NOTIFY", "e-1", []byte("{}")) },
		"KV_" + BucketUsers: func(ctx context.Context) error {
			_, err := NewUsers(js, s).Update(ctx, "acme", "alice", 1, set)
			return err
		},
		"KV_" + BucketChats: func(ctx context.Context) error {
			_, err := NewChats(js, s).Remember(ctx, key.BotID, "chat", "c-1", 1)
			return err
		},
		"KV_" + BucketEndpoints: func(ctx context.Context) error {
			return NewEndpoints(s).Tell(ctx, key.BotID, "https://a.example", []byte("{}"))
		},
		"KV_" + BucketKeys: func(ctx context.Context) error {
			_, err := NewKeys(s).Ensure(ctx, "purpose", func() ([]byte, error) { return []byte("fresh"), nil })
			return err
		},
		"KV_" + BucketClaims: func(ctx context.Context) error {
			_, err := NewWires(js, s).Claim(ctx, "claim")
			return err
		},
		"KV_" + BucketChannels: func(ctx context.Context) error {
			_, err := NewChannels(s).Put(ctx, "id", []byte("{}"), 0)
			return err
		},
		"KV_" + BucketPosted: func(ctx context.Context) error { return NewPosted(s).Reserve(ctx, key, "e-1", "x") },
		"KV_" + BucketStarters: func(ctx context.Context) error {
			_, err := s.Starters().Put(ctx, "me", []byte("here"))
			return err
		},
		"OBJ_" + BucketFiles: func(ctx context.Context) error {
			_, err := NewFiles(s).Put(ctx, key.BotID, File{Name: "a"}, strings.NewReader("text"))
			return err
		},
	}
}

// TestUpkeep_VanishedStream deletes each stream and bucket while a process runs: the operation that needs it succeeds.
func TestUpkeep_VanishedStream(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	all := operations(t, js, s)
	for _, name := range streamNames() {
		require.Contains(t, all, name, "no operation tests this stream")
	}
	for name, operation := range all {
		restored := s.Restored(name)
		require.NoError(t, js.DeleteStream(testContext(t), name), name)
		require.NoError(t, operation(testContext(t)), name)
		<-restored
		require.NoError(t, Ready(testContext(t), js), name)
	}
}

// Reading must not fail either.
func TestUpkeep_VanishedStreamIsRead(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, read := range map[string]func(context.Context) error{
		StreamQueues: func(ctx context.Context) error {
			_, _, err := NewQueues(js, s).Head(ctx, shop, "NOTIFY")
			return err
		},
		"KV_" + BucketUsers: func(ctx context.Context) error {
			_, err := NewUsers(js, s).Get(ctx, "acme", "alice")
			return err
		},
		"KV_" + BucketChats: func(ctx context.Context) error {
			_, err := NewChats(js, s).Conversation(ctx, shop, "chat")
			return err
		},
		schemas.StreamDeadLetters: func(ctx context.Context) error {
			_, err := NewDeadLetters(js, s).List(ctx, DeadLetterFilter{})
			return err
		},
		"KV_" + BucketStarters: func(ctx context.Context) error {
			_, err := s.StarterLog().Info(ctx)
			return err
		},
	} {
		require.NoError(t, js.DeleteStream(testContext(t), name), name)
		require.NoError(t, read(testContext(t)), name)
	}
}

// TestUpkeep_EmptyVolume restarts the server without its files, under a process that has keys and watches.
func TestUpkeep_EmptyVolume(t *testing.T) {
	t.Parallel()
	srv := startServerAt(t, server.RANDOM_PORT, t.TempDir())
	js := connectTo(t, srv)
	s, err := Setup(testContext(t), js, StreamOptions{StarterTTL: 2 * time.Second})
	require.NoError(t, err)
	key, err := NewKeys(s).Ensure(testContext(t), "purpose", func() ([]byte, error) { return []byte("first"), nil })
	require.NoError(t, err)
	_, err = NewChannels(s).Put(testContext(t), "old", []byte("{}"), 0)
	require.NoError(t, err)

	var mu sync.Mutex
	channels, told := map[string]bool{}, 0
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = NewChannels(s).Follow(ctx, func(id string, channel []byte, _ uint64) {
			mu.Lock()
			defer mu.Unlock()
			channels[id] = channel != nil
		}, func() {})
	})
	running.Go(func() {
		_ = NewEndpoints(s).Listen(ctx, func([]byte) { mu.Lock(); defer mu.Unlock(); told++ })
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	seen := func(yes func() bool) func() bool { return func() bool { mu.Lock(); defer mu.Unlock(); return yes() } }
	require.Eventually(t, seen(func() bool { return channels["old"] }), soon, poll)

	address, ok := srv.Addr().(*net.TCPAddr)
	require.True(t, ok)
	srv.Shutdown()
	srv.WaitForShutdown()
	startServerAt(t, address.Port, t.TempDir())
	require.Eventually(t, func() bool { return Ready(testContext(t), js) == nil }, soon, poll)
	for name, operation := range operations(t, js, s) {
		require.NoError(t, operation(testContext(t)), name)
	}
	again, err := NewKeys(s).Ensure(testContext(t), "purpose", func() ([]byte, error) { return []byte("second"), nil })
	require.NoError(t, err)
	require.Equal(t, key, again, "addresses that were given out stay valid")
	require.Eventually(t, seen(func() bool { return !channels["old"] && channels["id"] && told > 0 }), soon, poll, "the watches go on")
}

// TestUpkeep_FullStore: readiness, a metric and a log line tell of a store that takes nothing, and of its end.
func TestUpkeep_FullStore(t *testing.T) {
	t.Parallel()
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		JetStreamMaxStore: 8 << 20,
	}
	srv, err := server.NewServer(options)
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(soon))
	js := connectTo(t, srv)
	_, err = setUpSmall(testContext(t), js)
	require.NoError(t, err)
	require.NoError(t, Ready(testContext(t), js))

	var mu sync.Mutex
	reasons := map[string]int{}
	ObserveWrites(js, func(reason string) { mu.Lock(); defer mu.Unlock(); reasons[reason]++ })
	payload := make([]byte, 256<<10)
	require.Eventually(t, func() bool {
		_, err := js.Publish(testContext(t), "hookturn.replies.a.b.c", payload)
		return err != nil
	}, soon, time.Millisecond)
	require.ErrorContains(t, Ready(testContext(t), js), "jetstream does not store")
	mu.Lock()
	require.Positive(t, reasons[ReasonNoSpace], "%v", reasons)
	mu.Unlock()
	stream, err := js.Stream(testContext(t), schemas.StreamReplies)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(testContext(t)))
	require.NoError(t, Ready(testContext(t), js), "it has room again, though nothing was published")
}

// setUpSmall makes streams without reservations that a small store could not grant.
func setUpSmall(ctx context.Context, js jetstream.JetStream) (Streams, error) {
	small := func(c jetstream.StreamConfig) jetstream.StreamConfig { c.MaxBytes = 0; return c }
	o := StreamOptions{}.withDefaults()
	for _, c := range []jetstream.StreamConfig{small(eventsConfig(o, 1<<20)), small(queuesConfig(o))} {
		if _, err := js.CreateStream(ctx, c); err != nil {
			return Streams{}, err
		}
	}
	if _, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: BucketFiles}); err != nil {
		return Streams{}, err
	}
	return Setup(ctx, js, o)
}

func TestWriteFailure(t *testing.T) {
	t.Parallel()
	api := func(code jetstream.ErrorCode, text string) error {
		return &jetstream.APIError{Code: 503, ErrorCode: code, Description: text}
	}
	for want, errs := range map[string][]error{
		"":               {nil, jetstream.ErrKeyExists, context.Canceled},
		ReasonStreamFull: {api(10077, "maximum bytes exceeded"), api(10077, "maximum messages per subject exceeded")},
		ReasonNoSpace:    {api(10023, "insufficient resources"), api(10047, "x"), api(10077, "no space left on device"), api(10077, "write failed")},
		ReasonNoStream:   {jetstream.ErrNoStreamResponse, jetstream.ErrStreamNotFound},
		ReasonTimeout:    {context.DeadlineExceeded},
		ReasonRefused:    {api(10109, "stream is sealed")},
	} {
		for _, err := range errs {
			require.Equal(t, want, writeFailure(err), "%v", err)
		}
	}
}
