package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestStreams_SetupMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Sizes: map[string]int64{"events": 64 << 20}})
	require.Equal(t, 8, streams.Partitions)

	events := streams.events.CachedInfo().Config
	require.Equal(t, jetstream.WorkQueuePolicy, events.Retention)
	require.Equal(t, jetstream.FileStorage, events.Storage)
	require.Equal(t, jetstream.DiscardNew, events.Discard)
	require.Equal(t, 10*time.Minute, events.Duplicates)
	require.Equal(t, int64(64<<20), events.MaxBytes)
	require.GreaterOrEqual(t, events.MaxMsgSize, int32(schemas.MessageMax))
	require.True(t, events.AllowMsgTTL)

	replies := streams.replies.CachedInfo().Config
	require.Equal(t, 72*time.Hour, replies.MaxAge)
	require.Equal(t, 15*time.Minute, replies.Duplicates)
	require.Equal(t, 14*24*time.Hour, streams.deadLetters.CachedInfo().Config.MaxAge)

	again, err := Setup(testContext(t), js, StreamOptions{Partitions: 3})
	require.NoError(t, err)
	require.Equal(t, 8, again.Partitions, "an existing stream keeps its partitions")
}

func TestEvents_OfAConversationAreInOnePartition(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Partitions: 4})
	seen := map[string]bool{}
	for n := range 40 {
		seq := publish(t, js, "c", n)
		stored, err := streams.events.GetMsg(testContext(t), seq)
		require.NoError(t, err)
		seen[stored.Subject] = true
		require.Equal(t, eventRoot+"acme.shop.c", streams.EventSubject(stored.Subject))
	}
	require.Len(t, seen, 1)
}

func TestStreams_SetupUsesExistingStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subjects  []string
		transform *jetstream.SubjectTransformConfig
		want      int
	}{
		"one partition":      {[]string{"hookturn.events.*.*.*"}, nil, 1},
		"wider subjects":     {[]string{"hookturn.events.>"}, nil, 1},
		"three partitions":   {[]string{"hookturn.events.*.*.*"}, partitionTransform(3), 3},
		"old wildcard style": {[]string{"hookturn.events.*.*.*"}, oldTransform(5), 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := connectTo(t, startServer(t))
			_, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: schemas.StreamEvents, Subjects: c.subjects,
				SubjectTransform: c.transform, Retention: jetstream.WorkQueuePolicy})
			require.NoError(t, err)
			streams, err := Setup(testContext(t), js, StreamOptions{})
			require.NoError(t, err)
			require.Equal(t, c.want, streams.Partitions)
		})
	}
}

func oldTransform(int) *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{Source: "hookturn.events.*.*.*",
		Destination: "hookturn.events.{{partition(5,2,3)}}.$1.$2.$3"}
}

type config = jetstream.StreamConfig

func TestStreams_SetupRefusesStreamsThatWouldLoseData(t *testing.T) {
	t.Parallel()
	good := func(name, root string) jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: name, Subjects: []string{root + ".*.*.*"}, Storage: jetstream.FileStorage}
	}
	events := func(change func(*config)) config {
		c := good(schemas.StreamEvents, schemas.SubjectEvents)
		c.Retention = jetstream.WorkQueuePolicy
		change(&c)
		return c
	}
	replies := func(change func(*config)) config {
		c := good(schemas.StreamReplies, schemas.SubjectReplies)
		c.Duplicates = 15 * time.Minute
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		config config
		says   string
	}{
		"events in memory":  {events(func(c *config) { c.Storage = jetstream.MemoryStorage }), "storage is memory"},
		"replies in memory": {replies(func(c *config) { c.Storage = jetstream.MemoryStorage }), "storage is memory"},
		"async":             {events(func(c *config) { c.PersistMode = jetstream.AsyncPersistMode }), "is async"},
		"limits":            {events(func(c *config) { c.Retention = jetstream.LimitsPolicy }), "retention is Limits"},
		"interest":          {events(func(c *config) { c.Retention = jetstream.InterestPolicy }), "retention is Interest"},
		"discard old":       {events(func(c *config) { c.MaxMsgs = 10 }), "discard is old"},
		"max age":           {events(func(c *config) { c.MaxAge = time.Hour }), "max_age is set"},
		"no ack":            {replies(func(c *config) { c.NoAck = true }), "no_ack is set"},
		"short window":      {replies(func(c *config) { c.Duplicates = 14 * time.Minute }), "set duplicate_window to 15m"},
		"other subjects":    {events(func(c *config) { c.Subjects = []string{"other.>"} }), "add the subject"},
		"unknown transform": {events(func(c *config) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "hookturn.events.*.*.*", Destination: "a.$1.$2.$3"}
		}), "subject_transform is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := connectTo(t, startServer(t))
			_, err := js.CreateStream(testContext(t), c.config)
			require.NoError(t, err)
			_, err = Setup(testContext(t), js, StreamOptions{})
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "stream "+c.config.Name)
		})
	}
}

// The server gives every plain stream a window, so a window of 0 is checked without one.
func TestCheckStream_RefusesAnEmptyDuplicateWindow(t *testing.T) {
	t.Parallel()
	want := repliesConfig(StreamOptions{}.withDefaults())
	have := want
	require.NoError(t, checkStream(have, want))
	have.Duplicates = 0
	require.ErrorContains(t, checkStream(have, want), "duplicate_window is 0")
}
