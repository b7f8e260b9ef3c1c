package bus

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// loginLimited returns a login to an account with a limit on its storage.
func loginLimited(t *testing.T, maxFile int64) natsclient.Login {
	t.Helper()
	s := natstest.Start(t, func(o *server.Options) {
		host, port := o.Host, o.Port
		if err := o.ProcessConfigString(fmt.Sprintf(
			"accounts { A { jetstream: { max_file: %d }, users: [ { user: a, password: a } ] } }", maxFile)); err != nil {
			t.Error(err)
		}
		o.Host, o.Port, o.JetStream = host, port, true
	})
	return natsclient.Login{URL: "nats://a:a@" + s.Addr().String()}
}

func TestSizes_EveryStreamHasOne(t *testing.T) {
	t.Parallel()
	var total int64
	sized := map[string]bool{}
	for _, s := range Sizes() {
		total += s.Default
		sized[s.Stream] = true
		require.GreaterOrEqual(t, s.Default, int64(SizeMin), s.Stream)
	}
	for _, name := range streamNames() {
		require.True(t, sized[name], "stream %s does not have a size: add it to Sizes", name)
	}
	require.LessOrEqual(t, total, int64(1<<30))
}

func TestSizes_DefaultsFitAnAccountOf1GiB(t *testing.T) {
	t.Parallel()
	nc, js, err := Connect(testContext(t), loginLimited(t, 1<<30), t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	streams, err := Setup(testContext(t), js, StreamOptions{})
	require.NoError(t, err)
	publish(t, js, "c", 1)
	_, err = streams.Bucket(BucketUsers).Put(testContext(t), "k", []byte("v"))
	require.NoError(t, err)
	_, err = streams.Files().PutBytes(testContext(t), "f", []byte("file"))
	require.NoError(t, err)
	require.NoError(t, Ready(testContext(t), js))
	for _, s := range Sizes() {
		stream, err := js.Stream(testContext(t), s.Stream)
		require.NoError(t, err)
		require.Equal(t, s.Default, stream.CachedInfo().Config.MaxBytes, s.Stream)
	}
}

func TestSizes_AccountTooSmall(t *testing.T) {
	t.Parallel()
	login := loginLimited(t, 300<<20)
	nc, js, err := Connect(testContext(t), login, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	_, err = Setup(testContext(t), js, StreamOptions{})
	for _, want := range []string{
		"HOOKTURN_REPLIES", "asks for 268435456 bytes", "allows 314572800 bytes", "46137344 are not reserved",
		"--replies-max-bytes", "HOOKTURN_REPLIES_MAX_BYTES", "at most 46137344",
	} {
		require.ErrorContains(t, err, want)
	}
	small := map[string]int64{}
	for _, s := range Sizes() {
		small[s.Name] = SizeMin
	}
	_, err = Setup(testContext(t), js, StreamOptions{Sizes: small})
	require.NoError(t, err)

	_, err = Setup(testContext(t), connectTo(t, startServer(t)), StreamOptions{Sizes: map[string]int64{"events": 1 << 60}})
	require.ErrorContains(t, err, "HOOKTURN_EVENTS_MAX_BYTES")
	require.ErrorContains(t, err, "max_file_store")
}

func TestResize_LiveStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	for n := range 3 {
		publish(t, js, "c", n)
	}
	changes := map[string]string{}
	resize := func(o StreamOptions) error {
		clear(changes)
		return Resize(ctx, js, o, func(stream, what string) { changes[stream] = what })
	}
	require.NoError(t, resize(StreamOptions{}))
	require.Empty(t, changes, "what is not set stays")
	require.NoError(t, resize(StreamOptions{Sizes: map[string]int64{"events": 512 << 20, "users": 128 << 20}}))
	require.Equal(t, map[string]string{
		schemas.StreamEvents: "max_bytes 268435456 to 536870912",
		"KV_" + BucketUsers:  "max_bytes 67108864 to 134217728",
	}, changes)
	info, err := streams.Events().Info(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(512<<20), info.Config.MaxBytes)
	require.NotNil(t, info.Config.SubjectTransform, "other settings stay")
	require.EqualValues(t, 3, info.State.Msgs)
	require.ErrorContains(t, resize(StreamOptions{Sizes: map[string]int64{"events": 10}}), "set --events-max-bytes to more than that")
	again, err := Setup(ctx, js, StreamOptions{})
	require.NoError(t, err)
	require.Equal(t, int64(512<<20), again.events.CachedInfo().Config.MaxBytes, "a process with the defaults changes nothing")
}

// TestResize_DirectReads: streams of an earlier release, which do not allow direct reads, do so afterwards.
func TestResize_DirectReads(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	for _, name := range []string{schemas.StreamDeadLetters, schemas.StreamAudit} {
		stream, err := js.Stream(testContext(t), name)
		require.NoError(t, err)
		config := stream.CachedInfo().Config
		config.AllowDirect = false
		_, err = js.UpdateStream(testContext(t), config)
		require.NoError(t, err)
		require.NoError(t, Resize(testContext(t), js, StreamOptions{}, func(string, string) {}))
		stream, err = js.Stream(testContext(t), name)
		require.NoError(t, err)
		require.True(t, stream.CachedInfo().Config.AllowDirect, name)
	}
}

// TestResize_Rollups: buckets of an earlier release, in which a message to any key could remove all others, reject it
// afterwards.
func TestResize_Rollups(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	for _, bucket := range []string{BucketKeys, BucketClaims, BucketPosted} {
		stream, err := js.Stream(testContext(t), "KV_"+bucket)
		require.NoError(t, err)
		config := stream.CachedInfo().Config
		require.False(t, config.AllowRollup, bucket)
		config.AllowRollup = true
		_, err = js.UpdateStream(testContext(t), config)
		require.NoError(t, err)
		changes := map[string]string{}
		require.NoError(t, Resize(testContext(t), js, StreamOptions{}, func(stream, what string) { changes[stream] = what }))
		require.Equal(t, map[string]string{"KV_" + bucket: "allow_rollup_hdrs true to false"}, changes)
		require.Error(t, streams.Bucket(bucket).Purge(testContext(t), "a"))
		require.NoError(t, streams.Bucket(bucket).Delete(testContext(t), "a"))
	}
}

// TestResize_ClosedStream: a size that is asked for while the event stream is closed, because a change of its partitions was
// killed, does not open it, and is the one with which it is opened.
func TestResize_ClosedStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Partitions: 2})
	ctx := testContext(t)
	_, err := js.UpdateStream(ctx, closed(streams.events.CachedInfo().Config))
	require.NoError(t, err)
	changes := map[string]string{}
	require.NoError(t, Resize(ctx, js, StreamOptions{Sizes: map[string]int64{"events": 512 << 20}}, func(stream, what string) { changes[stream] = what }))
	require.Equal(t, map[string]string{schemas.StreamEvents: "max_bytes 268435456 to 536870912"}, changes)
	info, err := streams.events.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.Config.MaxBytes, "it takes no events")
	_, err = Repartition(ctx, js, 2)
	require.NoError(t, err)
	info, err = streams.events.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 512<<20, info.Config.MaxBytes)
	require.Empty(t, info.Config.Metadata[metadataMaxBytes])
}

// TestResize_OwnerAudit: the stream of what owners did copies the actions of this release, also where an earlier one created it.
func TestResize_OwnerAudit(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	ctx := testContext(t)
	stream, err := js.Stream(ctx, StreamOwnerAudit)
	require.NoError(t, err)
	fewer := stream.CachedInfo().Config
	want := sourcesOf(fewer)
	fewer.Sources[0].SubjectTransforms = fewer.Sources[0].SubjectTransforms[:1]
	_, err = js.UpdateStream(ctx, fewer)
	require.NoError(t, err)
	changes := map[string]string{}
	require.NoError(t, Resize(ctx, js, StreamOptions{}, func(stream, what string) { changes[stream] = what }))
	require.Contains(t, changes[StreamOwnerAudit], "sources ")
	stream, err = js.Stream(ctx, StreamOwnerAudit)
	require.NoError(t, err)
	require.Equal(t, want, sourcesOf(stream.CachedInfo().Config))
}
