package bus

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestPlan_AsSetup: what is planned is what Setup and the others do, and a second plan is empty.
func TestPlan_AsSetup(t *testing.T) {
	t.Parallel()
	js, ctx, o := connectTo(t, startServer(t)), testContext(t), StreamOptions{Partitions: 4}
	changes, err := Plan(ctx, js, o, []string{"acme"})
	require.NoError(t, err)
	require.Len(t, changes, len(Sizes())+2)
	again, err := Plan(ctx, js, o, []string{"acme"})
	require.NoError(t, err)
	require.Equal(t, changes, again, "nothing was changed")

	_, err = Setup(ctx, js, o)
	require.NoError(t, err)
	changes, err = Plan(ctx, js, o, []string{"acme"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"create consumer acme of stream HOOKTURN_REPLIES", "create consumer acme of stream HOOKTURN_DEADLETTERS",
	}, changes)
	require.NoError(t, EnsureEngine(ctx, js, "acme"))
	changes, err = Plan(ctx, js, StreamOptions{}, []string{"acme"})
	require.NoError(t, err)
	require.Empty(t, changes)
	changes, err = Plan(ctx, js, StreamOptions{Partitions: 8, Sizes: map[string]int64{"keys": SizeMin}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{
		"change stream HOOKTURN_EVENTS: partitions 4 to 8",
		"change stream KV_HOOKTURN_KEYS: max_bytes 4194304 to 2228224",
	}, changes)
}

// TestPlan_FindsMistakes: what Setup and the others reject is an error of the plan.
func TestPlan_FindsMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream jetstream.StreamConfig // that exists, or is changed to this
		o      StreamOptions
		want   string
	}{
		"a stream that loses data": {
			stream: jetstream.StreamConfig{
				Name: schemas.StreamEvents, Subjects: []string{"hookturn.events.>"}, Storage: jetstream.MemoryStorage,
			},
			want: "stream HOOKTURN_EVENTS cannot be used: storage is memory",
		},
		"a bucket that loses data": {
			stream: jetstream.StreamConfig{Name: "KV_" + BucketUsers, Subjects: []string{"$KV.x.>"}, Storage: jetstream.MemoryStorage},
			want:   "bucket HOOKTURN_USERS: storage is memory",
		},
		"a bucket of starters without a TTL": {
			stream: jetstream.StreamConfig{Name: "KV_" + BucketStarters, Subjects: []string{"$KV.y.>"}},
			want:   "bucket HOOKTURN_STARTERS: has no TTL",
		},
		"partitions of a stream that drops events": {
			stream: jetstream.StreamConfig{
				Name: schemas.StreamEvents, Subjects: []string{"hookturn.events.>"}, Retention: jetstream.WorkQueuePolicy,
			},
			o:    StreamOptions{Partitions: 4},
			want: "drops its oldest events when it is full: set discard to new",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := connectTo(t, startServer(t))
			_, err := js.CreateStream(testContext(t), c.stream)
			require.NoError(t, err)
			_, err = Plan(testContext(t), js, c.o, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, js, _ := setup(t, StreamOptions{})
	publish(t, js, "c", 1)
	_, err := Plan(testContext(t), js, StreamOptions{Sizes: map[string]int64{"events": 10}}, nil)
	require.ErrorContains(t, err, "set --events-max-bytes to more than that")
	_, err = js.CreateConsumer(testContext(t), schemas.StreamReplies, jetstream.ConsumerConfig{Durable: "acme"})
	require.NoError(t, err)
	_, err = Plan(testContext(t), js, StreamOptions{}, []string{"acme"})
	require.ErrorContains(t, err, "consumer acme of stream HOOKTURN_REPLIES: it exists and does not read")
}

func TestPlan_AccountTooSmall(t *testing.T) {
	t.Parallel()
	nc, js, err := loginLimited(t, 300<<20).Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	_, err = Plan(testContext(t), js, StreamOptions{}, nil)
	require.ErrorContains(t, err, "in 1 replicas, the account allows 314572800 bytes of which 314572800 are not reserved yet")
	small := map[string]int64{}
	for _, s := range Sizes() {
		small[s.Name] = SizeMin
	}
	_, err = Plan(testContext(t), js, StreamOptions{Sizes: small}, nil)
	require.NoError(t, err)
	_, err = Setup(testContext(t), js, StreamOptions{Sizes: small})
	require.NoError(t, err)
	_, err = Plan(testContext(t), js, StreamOptions{}, nil)
	require.NoError(t, err, "nothing is missing")
}
