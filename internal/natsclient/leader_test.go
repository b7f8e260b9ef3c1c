package natsclient

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
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
