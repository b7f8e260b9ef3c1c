package permissions

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestRoles_BackupAndRestore does what "nats account backup" and "nats stream restore" do, as the user of an owner: it copies a
// stream that is larger than what the server sends without an acknowledgement, deletes it and restores it.
func TestRoles_BackupAndRestore(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	nc, js := r.connect(t, Operator)
	incompressible := make([]byte, 64<<10)
	for range 200 {
		_, _ = rand.Read(incompressible) // documented never to fail
		_, err := js.Publish(ctx, "hookturn.replies.acme.shop.c-1", incompressible)
		require.NoError(t, err)
	}
	ask := func(subject string, request any, into any) {
		body, err := json.Marshal(request)
		require.NoError(t, err)
		m, err := nc.RequestWithContext(ctx, subject, body)
		require.NoError(t, err, subject)
		var failed struct {
			Error *json.RawMessage `json:"error"`
		}
		require.NoError(t, json.Unmarshal(m.Data, &failed))
		require.Nil(t, failed.Error, "%s: %s", subject, m.Data)
		require.NoError(t, json.Unmarshal(m.Data, into))
	}

	inbox := nc.NewInbox()
	chunks, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	var copied struct {
		Config, State json.RawMessage
	}
	ask("$JS.API.STREAM.SNAPSHOT."+schemas.StreamReplies, map[string]any{"deliver_subject": inbox, "window_size": 1 << 20}, &copied)
	var backup [][]byte
	for {
		m, err := chunks.NextMsgWithContext(ctx)
		require.NoError(t, err, "after %d chunks", len(backup))
		if len(m.Data) == 0 {
			break
		}
		backup = append(backup, m.Data)
		if m.Reply != "" {
			require.NoError(t, m.Respond(nil))
		}
	}
	require.NoError(t, js.DeleteStream(ctx, schemas.StreamReplies))

	var to struct {
		Deliver string `json:"deliver_subject"`
	}
	ask("$JS.API.STREAM.RESTORE."+schemas.StreamReplies, map[string]any{"config": copied.Config, "state": copied.State}, &to)
	for _, chunk := range append(backup, nil) {
		_, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: to.Deliver, Data: chunk})
		require.NoError(t, err)
	}
	require.EqualValues(t, 200, r.state(t)[schemas.StreamReplies])
}
