package natsclient

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
)

func TestLeader_Errors(t *testing.T) {
	t.Parallel()
	_, js, stream := setup(t)
	ctx := testContext(t)
	_, err := stream.GetMsg(ctx, 99)
	require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
	_, err = stream.GetLastMsgForSubject(ctx, "test.replies.a.b.c")
	require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
	require.NoError(t, js.DeleteStream(ctx, streamOfTest))
	_, err = stream.GetMsg(ctx, 1)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = stream.GetMsg(ended, 1)
	require.ErrorIs(t, err, context.Canceled)
}

// TestNextMsg_UnreadableHeader: a message whose headers cannot be read does not have any, and does not stop who reads.
func TestNextMsg_UnreadableHeader(t *testing.T) {
	t.Parallel()
	server, _, stream := setup(t)
	ctx := testContext(t)
	const subject = "test.events.a.b+b.c" // stored, though hookturn would not publish to it
	natstest.PublishRaw(t, server, subject, natstest.UnreadableHeader, "x")
	requireStored(t, stream, 1)
	for name, read := range map[string]func() (*jetstream.RawStreamMsg, error){
		"by sequence": func() (*jetstream.RawStreamMsg, error) { return stream.GetMsg(ctx, 1) },
		"next":        func() (*jetstream.RawStreamMsg, error) { return NextMsg(ctx, stream, 1, subject) },
		"next of all": func() (*jetstream.RawStreamMsg, error) { return NextMsg(ctx, stream, 1, "test.events.>") },
	} {
		m, err := read()
		require.NoError(t, err, name)
		require.Nil(t, m.Header, name)
		require.Equal(t, "x", string(m.Data), name)
		require.Equal(t, subject, m.Subject, name)
	}
	_, err := NextMsg(ctx, stream, 2, subject)
	require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
}

// requireStored waits until a stream has so many messages.
func requireStored(t *testing.T, stream jetstream.Stream, messages uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := stream.Info(testContext(t))
		return err == nil && info.State.Msgs == messages
	}, soon, poll)
}
