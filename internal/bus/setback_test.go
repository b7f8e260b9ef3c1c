package bus

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestUpkeep_RestoredFromBackup restores the streams from a copy of yesterday while a connection stays. A reader behind the
// end of the stream would get nothing until the stream has reached its position: it ends instead, and the channel of Restored
// is closed.
func TestUpkeep_RestoredFromBackup(t *testing.T) {
	t.Parallel()
	js, streams, reply, backup, restore := startRestorable(t)
	look := func() { require.NoError(t, retried(t, func() error { return upkeepOf(js).look(testContext(t)) })) }

	reply("r1")
	backup()
	reply("r2")
	reply("r3")
	restored, others := streams.Restored(schemas.StreamReplies), streams.Restored(schemas.StreamEvents)
	look()
	require.False(t, isClosed(restored), "nothing was restored")
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Follow(testContext(t), js, Tail{From: 4}, func() { close(ready) }, func(StoredReply) error { return nil })
	}()
	<-ready
	restore()
	look()
	require.True(t, isClosed(restored))
	require.False(t, isClosed(others), "the stream of events ends where it did")
	require.ErrorIs(t, <-ended, ErrSetBack)
	look()
	require.False(t, isClosed(streams.Restored(schemas.StreamReplies)), "it is noticed once")
}

// startRestorable starts a server with streams and a connection that stays. reply publishes a reply; backup copies the files
// of the server, which restarts, and restore restarts it with that copy.
func startRestorable(t *testing.T) (
	js jetstream.JetStream, streams Streams, reply func(id string), backup, restore func(),
) {
	t.Helper()
	dir, yesterday := t.TempDir(), filepath.Join(t.TempDir(), "yesterday")
	s := startServerAt(t, server.RANDOM_PORT, dir)
	port := s.Addr().(*net.TCPAddr).Port
	js = connectTo(t, s)
	streams, err := Setup(testContext(t), js, StreamOptions{StarterTTL: 2 * time.Second})
	require.NoError(t, err)
	restart := func(prepare func()) {
		s.Shutdown()
		s.WaitForShutdown()
		prepare()
		s = startServerAt(t, port, dir)
	}
	reply = func(id string) {
		require.NoError(t, retried(t, func() error {
			r := AReply()
			r.ID = id
			return NewPublisher(js).PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, r)
		}))
	}
	backup = func() { restart(func() { require.NoError(t, os.CopyFS(yesterday, os.DirFS(dir))) }) }
	restore = func() {
		restart(func() {
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.CopyFS(dir, os.DirFS(yesterday)))
		})
	}
	return js, streams, reply, backup, restore
}

// TestUpkeep_RestoredAndGrown: a stream that was set back has grown beyond its former end before the next look. Its end
// alone does not show that.
func TestUpkeep_RestoredAndGrown(t *testing.T) {
	t.Parallel()
	js, streams, reply, backup, restore := startRestorable(t)
	look := func() { require.NoError(t, retried(t, func() error { return upkeepOf(js).look(testContext(t)) })) }
	reply("r1")
	backup()
	reply("r2")
	look()
	restored := streams.Restored(schemas.StreamReplies)
	reply("r3")
	look()
	require.False(t, isClosed(restored), "the stream has only grown")
	restore()
	for _, id := range []string{"r4", "r5", "r6"} {
		reply(id)
	}
	look()
	require.True(t, isClosed(restored), "the reply of sequence 3 is another one")

	restored = streams.Restored(schemas.StreamReplies)
	look()
	stream, err := js.Stream(testContext(t), schemas.StreamReplies)
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(testContext(t), stream.CachedInfo().State.LastSeq))
	reply("r7")
	look()
	require.False(t, isClosed(restored), "a reply was deleted")
}

// TestUpkeep_ReadsRepliesWhereFollowed: a process that does not follow replies may not be permitted to read them, and being
// denied would make it not ready.
func TestUpkeep_ReadsRepliesWhereFollowed(t *testing.T) {
	t.Parallel()
	u, js := newAskedStream(5)
	u.created = map[string]time.Time{schemas.StreamReplies: js.info.Created}
	for range 3 {
		require.NoError(t, u.look(t.Context())) // askedStream does not have a connection: a read would panic
		js.info.State.LastSeq++
		js.info.State.LastTime = js.info.State.LastTime.Add(time.Second)
	}
}

// retried repeats an operation until the connection is back.
func retried(t *testing.T, operation func() error) (err error) {
	t.Helper()
	for range 100 {
		if err = operation(); err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			return t.Context().Err()
		}
	}
	return err
}

// askedStream is JetStream with one stream, which runs a function between an answer and its return.
type askedStream struct {
	jetstream.JetStream

	info   jetstream.StreamInfo
	before func()
}

type answeredStream struct {
	jetstream.Stream

	info jetstream.StreamInfo
}

func (s answeredStream) CachedInfo() *jetstream.StreamInfo { return &s.info }

func (a *askedStream) Stream(context.Context, string) (jetstream.Stream, error) {
	answer := answeredStream{info: a.info}
	if between := a.before; between != nil {
		a.before = nil
		between()
	}
	return answer, nil
}

// newAskedStream returns an upkeep that knows one stream.
func newAskedStream(sequence uint64) (*upkeep, *askedStream) {
	js := &askedStream{info: jetstream.StreamInfo{Created: time.Unix(1, 0), State: jetstream.StreamState{LastSeq: sequence}}}
	u := newUpkeep(js, slog.New(slog.DiscardHandler))
	u.created["S"] = js.info.Created
	return u, js
}

// TestUpkeep_LooksOneAtATime: a stream grows between the answer to a look and its comparison. A look that begins there does
// not compare first, and waits no longer than its caller does.
func TestUpkeep_LooksOneAtATime(t *testing.T) {
	t.Parallel()
	u, js := newAskedStream(5)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	restored := u.restoredChannel("S")
	js.before = func() {
		js.info.State.LastSeq = 9
		for range 20 { // select chooses at random where it could begin
			require.ErrorIs(t, u.look(gone), context.Canceled)
		}
	}
	require.NoError(t, u.look(t.Context()))
	require.NoError(t, u.look(t.Context()))
	require.False(t, isClosed(restored), "the stream has only grown")
	js.info.State.LastSeq = 8
	require.NoError(t, u.look(t.Context()))
	require.True(t, isClosed(restored))
}

// TestUpkeep_AnswerOfTheFormerStream: a stream is created again between the answer to a look and its comparison.
func TestUpkeep_AnswerOfTheFormerStream(t *testing.T) {
	t.Parallel()
	u, js := newAskedStream(100)
	js.before = func() {
		js.info = jetstream.StreamInfo{Created: time.Unix(2, 0), State: jetstream.StreamState{LastSeq: 1}}
		u.created["S"] = js.info.Created
		u.reread([]string{"S"})
	}
	require.NoError(t, u.look(t.Context()))
	restored := u.restoredChannel("S")
	require.NoError(t, u.look(t.Context()))
	require.False(t, isClosed(restored), "the stream has only grown since it was created again")
}
