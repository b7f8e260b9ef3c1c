package permissions

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
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
		schemas.AuditDeadLettersReplay: true, schemas.AuditPayloadsDecrypt: true,
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
			require.Equal(t, !may(action), natsclient.IsDenied(err), "%s as %s: %v", action, user, err)
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
		require.True(t, natsclient.IsDenied(err), "%s: %v", user, err)
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
	require.True(t, natsclient.IsDenied(err), "%v", err)
	err = store.NewPauses(seen).Put(ctx, store.Pause{BotID: acmeShop})
	require.True(t, natsclient.IsDenied(err), "%v", err)

	_, tools := r.connect(t, Tools)
	mine, err := bus.Setup(ctx, tools, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = bus.NewDeadLetters(tools, mine).Replay(ctx, 1)
	require.NoError(t, err)
	require.NoError(t, store.NewPauses(mine).Put(ctx, store.Pause{BotID: acmeShop}))
	require.NoError(t, store.NewEndpoints(mine).Tell(ctx, acmeShop, "https://shop.example/orders", []byte(`{}`)))
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
		require.True(t, natsclient.IsDenied(err), "%s: %v", name, err)
	}
	require.NoError(t, func() error { _, err := replies.GetMsg(ctx, 1); return err }())
}

// TestRoles_ToolsCreateNoConsumers: the tools neither create consumers nor read, change or delete the consumer by which an
// engine reads its replies.
func TestRoles_ToolsCreateNoConsumers(t *testing.T) {
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
			engine, err := owner.Consumer(ctx, stream, "acme")
			require.NoError(t, err)
			before := engine.CachedInfo()
			require.True(t, natsclient.IsDenied(js.DeleteConsumer(ctx, stream, "acme")), user)
			changed := before.Config
			changed.MaxDeliver = 1
			_, err = js.UpdateConsumer(ctx, stream, changed)
			require.True(t, natsclient.IsDenied(err), "%s: %v", user, err)
			_, err = js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{})
			require.True(t, natsclient.IsDenied(err), "%s: %v", user, err)
			require.NoError(t, nc.PublishRequest("$JS."+Domain+".API.CONSUMER.MSG.NEXT."+stream+".acme", nc.NewInbox(), []byte("1")))
			require.NoError(t, nc.Flush())
			ofOwner, err := owner.Consumer(ctx, stream, "acme")
			require.NoError(t, err)
			after := ofOwner.CachedInfo()
			require.Equal(t, before.Config, after.Config)
			require.Zero(t, after.Delivered.Consumer, "nothing was taken from the engine")
		}
	}
}

// TestRoles_AnswersStayInTheirAccount sends each request that a user of the tools, or a code worker, may send, with the
// subjects of everything that is stored, published or deleted as the place of its answer.
func TestRoles_AnswersStayInTheirAccount(t *testing.T) {
	t.Parallel()
	for _, user := range []string{Look, Tools, Code} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			r := startRig(t)
			listener, owner := r.connect(t, Operator)
			for _, subject := range []string{
				"hookturn.replies.acme.shop.c", "hookturn.deadletters.acme.shop.c", "hookturn.audit.acme.shop.erase",
				"$KV.HOOKTURN_PAUSES.bot.acme.shop", "$KV.HOOKTURN_ENDPOINTS.acme.shop.a", "$KV.HOOKTURN_REDRIVES.a",
			} {
				_, err := owner.Publish(testContext(t), subject, []byte("{}"))
				require.NoError(t, err)
			}
			published, err := listener.SubscribeSync("hookturn.>")
			require.NoError(t, err)
			require.NoError(t, listener.Flush())
			require.Eventually(t, func() bool { return r.state(t)[bus.StreamOwnerAudit] == 1 }, soon, poll, "the server copies it")
			before := r.state(t)
			of, _ := UserOf(user)
			sendAll(t, r, of)
			require.Equal(t, before, r.state(t))
			require.NoError(t, listener.Flush())
			queued, _, err := published.Pending()
			require.NoError(t, err)
			require.Zero(t, queued)
		})
	}
}

// sendAll sends each reading request of the list of a user with each subject as the place of its answer, and returns when the
// server has answered all of them.
func sendAll(t *testing.T, r rig, user User) {
	t.Helper()
	nc, js := r.connect(t, user.Name)
	var requests []string
	for _, subject := range user.Publish {
		if strings.HasPrefix(subject, "$JS.API.") && !strings.HasPrefix(subject, "$JS.API.STREAM.MSG.DELETE.") {
			requests = append(requests, strings.Replace(user.local(subject), ".>", ".x", 1))
		}
	}
	require.NotEmpty(t, requests)
	for _, target := range []string{
		"hookturn.events.globex.shop.c", "hookturn.replies.globex.shop.c", "hookturn.deadletters.globex.shop.c",
		"hookturn.advisories.globex.shop", "hookturn.notices.globex.shop.x", "hookturn.sockets.x",
		"hookturn.queues.acme.shop.s", "hookturn.audit.acme.shop.erase", "$KV.HOOKTURN_KEYS.callback-address",
		"$KV.HOOKTURN_CHANNELS.x", "$KV.HOOKTURN_PAUSES.x", "$KV.HOOKTURN_USERS.x", "$O.HOOKTURN_FILES.M.x",
		"$JS.API.STREAM.PURGE.HOOKTURN_REPLIES", "$JS." + Domain + ".API.STREAM.PURGE.HOOKTURN_REPLIES",
		"$JS.API.STREAM.DELETE.HOOKTURN_DEADLETTERS", "$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES",
		"$JS.ACK.HOOKTURN_REPLIES.globex.1.1.1.1.0",
	} {
		if user.Name == Tools && strings.HasPrefix(target, "hookturn.events.") {
			continue // it may publish events
		}
		for _, request := range requests {
			for _, body := range []string{"", `{"seq":1}`, `{"seq":1,"next_by_subj":">","batch":10}`} {
				require.NoError(t, nc.PublishRequest(request, target, []byte(body)))
			}
		}
	}
	_, err := js.AccountInfo(testContext(t)) // answered after all of the above
	require.NoError(t, err)
	_, err = js.Stream(testContext(t), schemas.StreamReplies)
	require.NoError(t, err)
}

// TestRoles_ViewerReadsNoEvents: the tools that only read do not need what engines have sent and no starter has handled.
func TestRoles_ViewerReadsNoEvents(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	_, owner := r.connect(t, Operator)
	_, err := owner.Publish(testContext(t), "hookturn.events.acme.shop.c-1", []byte("{}"))
	require.NoError(t, err)
	for user, may := range map[string]bool{Look: false, Tools: true, Starter: true, Worker: false, Code: false, Setup: false} {
		_, js := r.connect(t, user)
		events, err := js.Stream(testContext(t), schemas.StreamEvents)
		require.NoError(t, err, user)
		_, err = events.GetMsg(testContext(t), 1)
		require.Equal(t, !may, natsclient.IsDenied(err), "%s: %v", user, err)
		require.Equal(t, may, err == nil, "%s: %v", user, err)
	}
}
