package permissions

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

var acmeShop = schemas.BotID{Tenant: "acme", Bot: "shop"}

func auditEvent(action schemas.AuditAction) schemas.AuditEvent {
	return schemas.NewAuditEvent(time.Now(), "", schemas.Audited{BotID: acmeShop, Action: action})
}

// TestRoles_AuditEventsByUser writes the audit event of each action as each user: without it, no tool and no admin API
// changes anything.
func TestRoles_AuditEventsByUser(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	adminAPI := map[schemas.AuditAction]bool{
		schemas.AuditChannelCreate: true, schemas.AuditChannelChange: true, schemas.AuditChannelToken: true, schemas.AuditChannelDelete: true,
		schemas.AuditDeadLettersReplay: true,
	}
	installation := map[schemas.AuditAction]bool{schemas.AuditSetup: true, schemas.AuditDeploymentPromote: true}
	for user, may := range map[string]func(schemas.AuditAction) bool{
		Look: role.Viewer.May, Tools: role.Operator.May, Operator: role.Owner.May,
		Starter: func(a schemas.AuditAction) bool { return adminAPI[a] },
		Setup:   func(a schemas.AuditAction) bool { return installation[a] },
		Worker:  func(schemas.AuditAction) bool { return false }, Code: func(schemas.AuditAction) bool { return false },
	} {
		_, js := r.connect(t, user)
		for _, action := range schemas.AuditActions() {
			err := bus.NewAudit(js).Write(testContext(t), auditEvent(action))
			require.Equal(t, !may(action), bus.IsDenied(err), "%s as %s: %v", action, user, err)
			require.Equal(t, may(action), err == nil, "%s as %s: %v", action, user, err)
		}
	}
}

// TestRoles_AuditIsKept: what was recorded cannot be deleted, and the users of the processes do not read it.
func TestRoles_AuditIsKept(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	require.NoError(t, bus.NewAudit(owner).Write(ctx, auditEvent(schemas.AuditErase)))
	stream, err := owner.Stream(ctx, schemas.StreamAudit)
	require.NoError(t, err)
	require.Error(t, stream.DeleteMsg(ctx, 1))
	require.Error(t, stream.Purge(ctx))
	require.EqualValues(t, 1, r.state(t)[schemas.StreamAudit])
	read := func(user string) (actions []schemas.AuditAction, err error) {
		_, js := r.connect(t, user)
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		require.NoError(t, err, user)
		err = bus.ReadAudit(ctx, streams, bus.AuditFilter{}, func(e schemas.AuditEvent) bool {
			actions = append(actions, e.Data.Action)
			return true
		})
		return actions, err
	}
	for _, user := range []string{Look, Tools, Operator} {
		actions, err := read(user)
		require.NoError(t, err, user)
		require.Equal(t, []schemas.AuditAction{schemas.AuditErase}, actions, user)
	}
	for _, user := range []string{Starter, Worker, Code, Setup} {
		_, err := read(user)
		require.True(t, bus.IsDenied(err), "%s: %v", user, err)
	}
}

// TestRoles_ToolsDoTheirWork does what an operator's tools do, and what only an owner's may.
func TestRoles_ToolsDoTheirWork(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	all, err := bus.Setup(ctx, owner, bus.StreamOptions{})
	require.NoError(t, err)
	letters := bus.NewDeadLetters(owner, all)
	for n := range uint64(2) {
		require.NoError(t, letters.Write(ctx, &bus.FailedEvent{
			BotID: acmeShop, Conversation: "c-1", Subject: "hookturn.events.acme.shop.c-1", Data: []byte("{}"), Sequence: n + 1, Received: time.Now(),
		}, fault.New(fault.UnknownBot, "because")))
	}
	_, err = owner.Publish(ctx, "hookturn.replies.acme.shop.c-1", []byte("{}"))
	require.NoError(t, err)

	_, viewer := r.connect(t, Look)
	seen, err := bus.Setup(ctx, viewer, bus.StreamOptions{})
	require.NoError(t, err)
	list, err := bus.NewDeadLetters(viewer, seen).List(ctx, bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, err = bus.NewDeadLetters(viewer, seen).Show(ctx, 1)
	require.NoError(t, err)
	_, err = store.NewPauses(seen).List(ctx)
	require.NoError(t, err)
	_, err = bus.NewDeadLetters(viewer, seen).Replay(ctx, 1)
	require.True(t, bus.IsDenied(err), "%v", err)
	err = store.NewPauses(seen).Put(ctx, store.Pause{BotID: acmeShop})
	require.True(t, bus.IsDenied(err), "%v", err)

	_, tools := r.connect(t, Tools)
	mine, err := bus.Setup(ctx, tools, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = bus.NewDeadLetters(tools, mine).Replay(ctx, 1)
	require.NoError(t, err)
	require.NoError(t, store.NewPauses(mine).Put(ctx, store.Pause{BotID: acmeShop}))
	require.NoError(t, store.NewEndpoints(mine).Forget(ctx, acmeShop, "https://shop.example/orders"))
	require.NoError(t, store.NewRedrives(mine).Put(ctx, "a", 1))
	_, err = store.NewRedrives(mine).Get(ctx, "a", new(int))
	require.NoError(t, err)
	replies, err := tools.Stream(ctx, schemas.StreamReplies)
	require.NoError(t, err)
	for name, forbidden := range map[string]func() error{
		"delete a reply":  func() error { return replies.SecureDeleteMsg(ctx, 1) },
		"purge":           func() error { return replies.Purge(ctx) },
		"delete a stream": func() error { return tools.DeleteStream(ctx, schemas.StreamReplies) },
		"forge a reply":   func() error { _, err := tools.Publish(ctx, "hookturn.replies.acme.shop.c-1", nil); return err },
		"read a user":     func() error { _, err := store.NewUsers(tools, mine).Get(ctx, "acme", "91"); return err },
		"write a chat":    func() error { _, err := mine.Bucket(bus.BucketChats).Put(ctx, "a", nil); return err },
	} {
		err := forbidden()
		require.True(t, bus.IsDenied(err), "%s: %v", name, err)
	}
	require.NoError(t, func() error { _, err := replies.GetMsg(ctx, 1); return err }())
}

// TestRoles_ToolsSpareEngines: the tools read with consumers of their own, and neither read, change nor delete the consumer
// by which an engine reads its replies.
func TestRoles_ToolsSpareEngines(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	for _, subject := range []string{"hookturn.replies.acme.shop.c-1", "hookturn.deadletters.acme.shop.c-1"} {
		_, err := owner.Publish(ctx, subject, []byte("{}"))
		require.NoError(t, err)
	}
	for _, user := range []string{Look, Tools} {
		nc, js := r.connect(t, user)
		for _, stream := range []string{schemas.StreamReplies, schemas.StreamDeadLetters} {
			engine, err := js.Consumer(ctx, stream, "acme")
			require.NoError(t, err, "its state can be read")
			before := engine.CachedInfo()
			require.True(t, bus.IsDenied(js.DeleteConsumer(ctx, stream, "acme")), user)
			changed := before.Config
			changed.MaxDeliver = 1
			_, err = js.UpdateConsumer(ctx, stream, changed)
			require.True(t, bus.IsDenied(err), "%s: %v", user, err)
			require.NoError(t, nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+".acme", nc.NewInbox(), []byte("1")))
			require.NoError(t, nc.Flush())
			ofOwner, err := owner.Consumer(ctx, stream, "acme")
			require.NoError(t, err)
			after := ofOwner.CachedInfo()
			require.Equal(t, before.Config, after.Config)
			require.Zero(t, after.Delivered.Consumer, "nothing was taken from the engine")
		}
	}
}
