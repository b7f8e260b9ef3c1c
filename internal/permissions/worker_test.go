package permissions

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// TestWorker_FindsReplies: a worker may look for the reply of a step that it repeats, also for one behind the latest.
func TestWorker_FindsReplies(t *testing.T) {
	t.Parallel()
	_, js := startRig(t).connect(t, Worker)
	streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{})
	require.NoError(t, err)
	replies := bus.NewReplies(streams)
	owner := schemas.BotID{Tenant: "acme", Bot: "shop"}
	of := owner.WithConversation("c-1")
	for _, replyType := range []string{schemas.TypeStepReplied, schemas.TypeConversationClosed} {
		reply := schemas.Reply{
			SpecVersion: "1.0", ID: schemas.ReplyID(of, "e1", replyType), Type: replyType, Subject: "c-1",
			Source: owner.Source(), Data: json.RawMessage(`{}`),
		}
		for range 2 {
			_, err = replies.Publish(testContext(t), owner, reply)
			require.NoError(t, err)
		}
		found, err := replies.Find(testContext(t), of, schemas.ReplyID(of, "e1", schemas.TypeStepReplied), time.Time{}.AddDate(2000, 0, 0))
		require.NoError(t, err)
		require.NotNil(t, found)
	}
}

// TestCode_ServesScripts: both users that may run scripts get the requests of gateways, and no other user may send one.
func TestCode_ServesScripts(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for _, user := range []string{Code, Worker} {
		r := startRig(t)
		_, starter := r.connect(t, Starter)
		_, worker := r.connect(t, user)
		stop, err := pubsub.New(worker).ServeScripts(1, func(request []byte, _ int) []byte { return request }, nil)
		require.NoError(t, err)
		require.NoError(t, worker.Conn().Flush())
		answer, err := pubsub.New(starter).CallScript(testContext(t), shop, []byte("x"))
		require.NoError(t, err, user)
		require.Equal(t, "x", string(answer))
		_, err = pubsub.New(worker).CallScript(testContext(t), shop, []byte("x"))
		require.ErrorContains(t, err, "hookturn.scripts", "a worker that is taken over runs no script elsewhere")
		stop(testContext(t))
	}
}

// TestWorker_CallsCodeWorkers: a worker calls both users that may run scripts, and each of them claims what it begins. The
// gateway may not, nor may a code worker have others begin a script.
func TestWorker_CallsCodeWorkers(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for _, user := range []string{Code, Worker} {
		r := startRig(t)
		_, calling := r.connect(t, Worker)
		_, code := r.connect(t, user)
		streams, err := bus.Setup(testContext(t), code, bus.StreamOptions{})
		require.NoError(t, err)
		for _, created := range []bool{true, false} {
			holder, made, err := store.NewScriptClaims(streams).Claim(testContext(t), shop, "r1", "w-1")
			require.NoError(t, err, user)
			require.Equal(t, "w-1", holder)
			require.Equal(t, created, made)
		}
		_, err = store.NewScriptClaims(streams).Since(testContext(t))
		require.NoError(t, err, user)
		require.NoError(t, store.NewScriptClaims(streams).Pass(testContext(t), shop, "r1", "w-2"), user)
		echo := func(request []byte, _ int) []byte { return request }
		stop, err := pubsub.New(code).ServeAttempts(1, echo, nil)
		require.NoError(t, err)
		stopNamed, err := pubsub.New(code).ServeAttemptsTo("w-1", echo)
		require.NoError(t, err)
		require.NoError(t, code.Conn().Flush())
		for _, name := range []string{"", "w-1"} {
			answer, err := pubsub.New(calling).CallCodeWorker(testContext(t), shop, name, []byte("x"))
			require.NoError(t, err, user)
			require.Equal(t, "x", string(answer))
		}
		_, err = pubsub.New(code).CallCodeWorker(testContext(t), shop, "w-1", []byte("x"))
		require.NoError(t, err, "a code worker calls the one that has begun a script")
		_, other := r.connect(t, Starter)
		_, err = pubsub.New(other).CallCodeWorker(testContext(t), shop, "", []byte("x"))
		require.Equal(t, fault.Connect, fault.Of(err).Kind, "not permitted, and known not to be received")
		_, other = r.connect(t, Code)
		_, err = pubsub.New(other).CallCodeWorker(testContext(t), shop, "", []byte("x"))
		require.Equal(t, fault.Connect, fault.Of(err).Kind)
		stop(testContext(t))
		stopNamed(testContext(t))
	}
}

// TestCode_AnswersStayInItsAccount stores what a code worker may store, with the subjects of others as the place of the
// acknowledgement, and creates consumers that deliver there.
func TestCode_AnswersStayInItsAccount(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	nc, js := r.connect(t, Code)
	before := r.state(t)
	stored := uint64(0)
	for _, target := range []string{
		"hookturn.events.globex.shop.c", "hookturn.replies.globex.shop.c", "hookturn.queues.acme.shop.s", "$KV.HOOKTURN_CHANNELS.x",
		"$JS.API.STREAM.PURGE.HOOKTURN_REPLIES", "$JS.API.STREAM.DELETE.HOOKTURN_EVENTS",
	} {
		require.NoError(t, nc.PublishRequest("$JS."+Domain+".API.$KV.HOOKTURN_POSTED.script.x", target, []byte("{}")))
		stored = 1 // a bucket keeps the latest value of a key
		for _, api := range []string{"$JS.API.", "$JS." + Domain + ".API."} {
			for _, stream := range everyStream() {
				_ = nc.Publish(api+"CONSUMER.CREATE."+stream+".x",
					[]byte(`{"stream_name":"`+stream+`","config":{"name":"x","deliver_subject":"`+target+`","ack_policy":"none"}}`))
			}
		}
	}
	_, err := js.AccountInfo(testContext(t)) // answered after all of the above
	require.NoError(t, err)
	after := r.state(t)
	before["KV_HOOKTURN_POSTED"] += stored
	require.Equal(t, before, after)
	_, owner := r.connect(t, Operator)
	for _, stream := range everyStream() {
		_, err := owner.Consumer(testContext(t), stream, "x")
		require.ErrorIs(t, err, jetstream.ErrConsumerNotFound, stream)
	}
}

// TestCode_UserDetails: a code step reads the details of its user, and stores what its script returns of them.
func TestCode_UserDetails(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	for _, user := range []string{Worker, Code} {
		_, js := r.connect(t, user)
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		require.NoError(t, err)
		users := store.NewUsers(js, streams)
		_, err = users.Get(ctx, "acme", user)
		require.NoError(t, err, user)
		_, err = users.Update(ctx, "acme", user, store.UserUpdate{
			Members: json.RawMessage(`{"n":1}`), Fence: 1, Writer: "r1",
			Merge: func(_, update json.RawMessage) (json.RawMessage, error) { return update, nil },
		})
		require.NoError(t, err, user)
		stored, err := users.Get(ctx, "acme", user)
		require.NoError(t, err, user)
		require.JSONEq(t, `{"n":1}`, string(stored), user)
	}
}

// TestCode_FullUserDetails: tenants can fill the bucket, so that a code worker whose write it rejects stays ready.
func TestCode_FullUserDetails(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	full, err := owner.Stream(ctx, "KV_"+bus.BucketUsers)
	require.NoError(t, err)
	config := full.CachedInfo().Config
	config.MaxBytes = 100
	_, err = owner.UpdateStream(ctx, config)
	require.NoError(t, err)
	_, js := r.connect(t, Code)
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	_, err = store.NewUsers(js, streams).Update(ctx, "acme", "91", store.UserUpdate{
		Members: json.RawMessage(`{"n":1}`), Fence: 1, Writer: "r1",
		Merge: func(_, update json.RawMessage) (json.RawMessage, error) { return update, nil },
	})
	require.Error(t, err)
	require.NoError(t, bus.Ready(ctx, js))
}

// TestCode_FollowsBuckets: a code worker learns of what operators decide without a consumer, which it may not create.
func TestCode_FollowsBuckets(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	all, err := bus.Setup(ctx, owner, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, store.NewPauses(all).Put(ctx, store.Pause{BotID: acmeShop, Reason: "first"}))
	_, code := r.connect(t, Code)
	streams, err := bus.Setup(ctx, code, bus.StreamOptions{})
	require.NoError(t, err)
	seen, ready := make(chan string, 10), make(chan struct{}, 1)
	following, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- store.NewPauses(streams).Follow(following, func(d store.Pause) { seen <- d.Reason }, func() { ready <- struct{}{} })
	}()
	next := func() string {
		select {
		case reason := <-seen:
			return reason
		case <-time.After(soon):
			return "nothing"
		}
	}
	require.Equal(t, "first", next())
	<-ready
	require.NoError(t, store.NewPauses(all).Put(ctx, store.Pause{BotID: acmeShop, Reason: "second"}))
	require.Equal(t, "second", next())
	stop()
	require.NoError(t, <-ended)
}

// TestUsers_KeysOfOthers: a user that may write some keys of a bucket, and a code worker that may write all, removes no other
// key of it, whatever the headers of its message ask for.
func TestUsers_KeysOfOthers(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, owner := r.connect(t, Operator)
	tried := map[string]bool{}
	for _, user := range []string{Code, Worker, Starter, Setup} {
		of, _ := UserOf(user)
		_, js := r.connect(t, user)
		for _, subject := range of.Publish {
			bucket, key, isKey := strings.Cut(strings.TrimPrefix(subject, "$KV."), ".")
			whole := key == ">" || strings.Contains(strings.Join(of.Publish, " "), "$KV."+bucket+".>")
			if !strings.HasPrefix(subject, "$KV.") || !isKey || whole && !of.Apart {
				continue
			}
			tried[bucket] = true
			_, err := owner.Publish(ctx, "$KV."+bucket+".of-others", []byte("x"))
			require.NoError(t, err)
			m := nats.NewMsg(of.local(strings.NewReplacer("*", "x", ">", "x").Replace(subject)))
			m.Header.Set("Nats-Rollup", "all")
			_, err = js.PublishMsg(ctx, m)
			require.False(t, natsclient.IsDenied(err), "%s may write %s", user, subject)
			kept, err := owner.KeyValue(ctx, bucket)
			require.NoError(t, err)
			_, err = kept.Get(ctx, "of-others")
			require.NoError(t, err, "%s removed it by %s", user, subject)
		}
	}
	require.Equal(t, map[string]bool{
		bus.BucketKeys: true, bus.BucketClaims: true, bus.BucketPosted: true, bus.BucketUsers: true,
	}, tried)
}
