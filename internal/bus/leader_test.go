package bus

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
)

// TestLeader_ReadsLatest reads with a user that may not use direct reads, which any replica answers: each
// read that must see the latest write goes to the leader, although the streams allow direct reads.
func TestLeader_ReadsLatest(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"$JS.API.DIRECT.>"}},
		}}},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(soon))
	ctx := testContext(t)
	nc, js, err := Connect(ctx, natsclient.Login{URL: "nats://u:p@" + s.Addr().String()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := Setup(ctx, js, StreamOptions{})
	require.NoError(t, err)
	require.True(t, streams.replies.CachedInfo().Config.AllowDirect, "the test needs a stream with direct reads")

	r := NewReplies(streams)
	first, second := aReply(), aReply()
	second.Data = json.RawMessage(`{"text":"another"}`)
	_, err = r.Publish(ctx, shopID(), first)
	require.NoError(t, err)
	before, err := r.Publish(ctx, shopID(), second)
	require.NoError(t, err)
	require.JSONEq(t, string(first.Data), string(before.Data))
	found, err := r.Find(ctx, shopID().WithConversation(first.Subject), first.ID, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, first.ID, found.ID)

	for _, bucket := range []string{BucketUsers, BucketChats, BucketPosted} {
		_, err = streams.Bucket(bucket).Put(ctx, "key", []byte("v"))
		require.NoError(t, err)
		m, err := streams.BucketLog(bucket).GetLastMsgForSubject(ctx, "$KV."+bucket+".key")
		require.NoError(t, err)
		require.Equal(t, "v", string(m.Data))
	}
}
