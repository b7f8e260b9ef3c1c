package natsclient

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
)

// BenchmarkGuard compares what a step does on NATS with and without the guard: the difference is what the guard costs.
func BenchmarkGuard(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	nc, js, err := Login{URL: natstest.Start(b).ClientURL()}.Connect(ctx, b.Name(), nil)
	require.NoError(b, err)
	defer nc.Close()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: streamOfTest, Subjects: []string{"test.*.*.*.*"}})
	require.NoError(b, err)
	_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "bucket"})
	require.NoError(b, err)
	body := make([]byte, 512)
	for name, js := range map[string]jetstream.JetStream{"guarded": js, "bare": js.(guardedJetStream).JetStream} {
		stream, err := js.Stream(ctx, streamOfTest)
		require.NoError(b, err)
		users, err := js.KeyValue(ctx, "bucket")
		require.NoError(b, err)
		_, err = users.Put(ctx, "k", body)
		require.NoError(b, err)
		ack, err := js.Publish(ctx, "test.replies.acme.shop.c1", body)
		require.NoError(b, err)
		for what, operation := range map[string]func(context.Context) error{
			"publish": func(ctx context.Context) error {
				_, err := js.Publish(ctx, "test.replies.acme.shop.c1", body)
				return err
			},
			"get": func(ctx context.Context) error {
				_, err := stream.GetMsg(ctx, ack.Sequence)
				return err
			},
			"kv_get": func(ctx context.Context) error {
				_, err := users.Get(ctx, "k")
				return err
			},
			"kv_put": func(ctx context.Context) error {
				_, err := users.Put(ctx, "k", body)
				return err
			},
		} {
			b.Run(what+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					try, cancel := context.WithTimeout(ctx, APITimeout)
					require.NoError(b, operation(try))
					cancel()
				}
			})
		}
	}
}

// BenchmarkGuard_Overhead is the guard around an operation that does nothing.
func BenchmarkGuard_Overhead(b *testing.B) {
	g := guard{rights: newRights(slog.New(slog.DiscardHandler))}
	nothing := func(context.Context) (bool, error) { return true, nil }
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		_, err := once(ctx, g, nil, to("test.replies.acme.shop.c1"), nothing)
		require.NoError(b, err)
	}
}
