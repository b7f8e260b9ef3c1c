package bus

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestUpkeep_RestoredFromBackup restores the streams from a copy of yesterday while a connection stays. A reader behind the
// end of the stream would get nothing until the stream has reached its position: it ends instead, and the channel of Restored
// is closed.
func TestUpkeep_RestoredFromBackup(t *testing.T) {
	t.Parallel()
	dir, yesterday := t.TempDir(), filepath.Join(t.TempDir(), "yesterday")
	s := startServerAt(t, server.RANDOM_PORT, dir)
	port := s.Addr().(*net.TCPAddr).Port
	js := connectTo(t, s)
	streams, err := Setup(testContext(t), js, StreamOptions{StarterTTL: 2 * time.Second})
	require.NoError(t, err)
	reply := func(id string) {
		require.NoError(t, retried(t, func() error {
			r := AReply()
			r.ID = id
			return NewPublisher(js).PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, r)
		}))
	}
	restart := func(prepare func()) {
		s.Shutdown()
		s.WaitForShutdown()
		prepare()
		s = startServerAt(t, port, dir)
	}
	look := func() { require.NoError(t, retried(t, func() error { return upkeepOf(js).look(testContext(t)) })) }

	reply("r1")
	restart(func() { require.NoError(t, os.CopyFS(yesterday, os.DirFS(dir))) })
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
	restart(func() {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(yesterday)))
	})
	look()
	require.True(t, isClosed(restored))
	require.False(t, isClosed(others), "the stream of events ends where it did")
	require.ErrorIs(t, <-ended, ErrSetBack)
	look()
	require.False(t, isClosed(streams.Restored(schemas.StreamReplies)), "it is noticed once")
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
