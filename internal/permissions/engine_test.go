package permissions

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestEngine_DoesItsWork does what an engine needs: everything of its own tenant.
func TestEngine_DoesItsWork(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	nc, engine := r.engine(t, "acme")
	_, hookturn := r.connect(t, Operator)

	live := map[string]*nats.Subscription{}
	for _, root := range []string{schemas.SubjectReplies, schemas.SubjectDeadLetters, schemas.SubjectAdvisories} {
		received, err := nc.SubscribeSync(root + ".acme.>")
		require.NoError(t, err)
		live[root] = received
	}
	require.NoError(t, nc.Flush())
	stored, err := engine.Publish(ctx, "hookturn.events.acme.shop.c-1", []byte(`{}`), jetstream.WithMsgID("e-1"))
	require.NoError(t, err, "an engine publishes events and knows that they are stored")
	require.Equal(t, schemas.StreamEvents, stored.Stream)

	for root, received := range live {
		require.NoError(t, hookturn.Conn().Publish(root+".acme.shop.c-1", []byte(root)))
		m, err := received.NextMsg(soon)
		require.NoError(t, err, "an engine receives %s as they are published", root)
		require.Equal(t, root, string(m.Data))
	}
	for _, stream := range []string{schemas.StreamReplies, schemas.StreamDeadLetters} {
		reader, err := engine.Consumer(ctx, stream, "acme")
		require.NoError(t, err)
		m, err := reader.Next(jetstream.FetchMaxWait(soon))
		require.NoError(t, err, "an engine reads what is stored in %s", stream)
		require.NoError(t, m.DoubleAck(ctx), "an engine acknowledges")
		meta, err := m.Metadata()
		require.NoError(t, err)
		require.EqualValues(t, 1, meta.NumDelivered)
		info, err := reader.Info(ctx)
		require.NoError(t, err)
		require.Zero(t, info.NumAckPending)
	}
	require.NoError(t, nc.Publish("hookturn.notices.acme.shop.stock.low", []byte(`{}`)))
}

// TestEngine_ReceivesNothingOfOthers subscribes to everything, while hookturn and another tenant work.
func TestEngine_ReceivesNothingOfOthers(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	nc, _ := r.engine(t, "acme")
	var mu sync.Mutex
	var received []string
	for _, subject := range []string{
		">", "*.>", "_INBOX.>", "_INBOX_*.>", "_INBOX_starter.>", "_INBOX_worker.>", "_INBOX_hookturn.>", "$KV.>", "$KV.HOOKTURN_KEYS.>", "$O.>",
		"$JS.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>", "_R_.>", "hookturn.>", "hookturn.events.>", "hookturn.replies.>",
		"hookturn.replies.globex.>", "hookturn.deadletters.globex.>", "hookturn.advisories.globex.>", "hookturn.notices.>",
		"hookturn.sockets.>", "hookturn.queues.>", "hookturn.audit.>",
	} {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			mu.Lock()
			defer mu.Unlock()
			received = append(received, m.Subject+" "+string(m.Data))
		})
		require.NoError(t, err)
	}
	require.NoError(t, nc.Flush())

	_, starter := r.connect(t, Starter)
	_, err := bus.Setup(ctx, starter, bus.StreamOptions{})
	require.NoError(t, err)
	streams, err := bus.Setup(ctx, starter, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, shareKey(ctx, starter, streams, "callback-address", "the-key"))
	_, operator := r.connect(t, Operator)
	for _, root := range []string{"events", "replies", "deadletters", "advisories.x", "notices", "audit"} {
		require.NoError(t, operator.Conn().Publish("hookturn."+root+".globex.shop.c", []byte("of globex")))
	}
	_, globex := r.engine(t, "globex")
	_, err = globex.Publish(ctx, "hookturn.events.globex.shop.c-2", []byte("of globex"))
	require.NoError(t, err)
	reader, err := globex.Consumer(ctx, schemas.StreamReplies, "globex")
	require.NoError(t, err)
	_, err = reader.Next(jetstream.FetchMaxWait(soon))
	require.NoError(t, err)

	require.NoError(t, operator.Conn().Publish("hookturn.replies.acme.shop.c", []byte("of acme")))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(strings.Join(received, "\n"), "of acme")
	}, soon, poll)
	mu.Lock()
	defer mu.Unlock()
	for _, line := range received {
		require.Contains(t, line, "hookturn.replies.acme.shop.c of acme")
	}
}

// TestEngine_ReadsNothingOfOthers requests messages of other tenants and of the installation in every way JetStream has.
func TestEngine_ReadsNothingOfOthers(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, operator := r.connect(t, Operator)
	for _, subject := range []string{"hookturn.replies.globex.shop.c", "hookturn.deadletters.globex.shop.c"} {
		_, err := operator.Publish(ctx, subject, []byte("of globex"))
		require.NoError(t, err)
	}
	streams, err := bus.Setup(ctx, operator, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, shareKey(ctx, operator, streams, "callback-address", "of the installation"))
	before := r.state(t)
	nc, _ := r.engine(t, "acme")
	requests := readingRequests()
	for subject, body := range readingRequests() {
		if rest, isAPI := strings.CutPrefix(subject, "$JS.API."); isAPI {
			requests["$JS."+Domain+".API."+rest] = body
		}
	}
	for subject, body := range requests {
		answer, err := nc.Request(subject, []byte(body), 200*time.Millisecond)
		if err == nil { // by the engine's own account, which has no JetStream
			require.True(t, strings.HasPrefix(subject, "$JS.API."), subject)
			require.Contains(t, string(answer.Data), `"error":{`, subject)
		}
	}
	require.Equal(t, before, r.state(t))
}

// readingRequests are the requests of the JetStream API with which something can be read, made or removed.
func readingRequests() map[string]string {
	requests := map[string]string{
		"$JS.API.STREAM.NAMES": "", "$JS.API.STREAM.LIST": "", "$JS.API.INFO": "",
		"$JS.API.DIRECT.GET.KV_HOOKTURN_KEYS.$KV.HOOKTURN_KEYS.callback-address": "",
		"$JS.API.STREAM.CREATE.THEFT":                                            `{"name":"THEFT","mirror":{"name":"HOOKTURN_REPLIES"}}`,
		"$JS.API.STREAM.CREATE.LISTEN":                                           `{"name":"LISTEN","subjects":["hookturn.sockets.>"]}`,
		"$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES.acme":                          `{"stream_name":"HOOKTURN_REPLIES","config":{"name":"acme","durable_name":"acme"}}`,
		"$JS.API.CONSUMER.MSG.NEXT.HOOKTURN_REPLIES.globex":                      "1",
		"$JS.API.CONSUMER.INFO.HOOKTURN_REPLIES.globex":                          "",
		"$JS.API.CONSUMER.MSG.NEXT.HOOKTURN_REPLIES.acme.x":                      "1",
		"$JS.API.CONSUMER.DURABLE.CREATE.HOOKTURN_REPLIES.x":                     `{"stream_name":"HOOKTURN_REPLIES","config":{"durable_name":"x"}}`,
		"$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES.acme.hookturn.replies.acme.>": `{"stream_name":"HOOKTURN_REPLIES","config":` +
			`{"name":"acme","filter_subject":"hookturn.replies.acme.>","deliver_subject":"hookturn.replies.globex.shop.c"}}`,
		"$JS.API.CONSUMER.CREATE.HOOKTURN_REPLIES.acme.hookturn.replies.globex.>": `{"stream_name":"HOOKTURN_REPLIES","config":` +
			`{"name":"acme","filter_subjects":["hookturn.replies.globex.>"],"deliver_subject":"x"}}`,
	}
	for _, stream := range everyStream() {
		for _, verb := range []string{
			"STREAM.INFO.", "STREAM.MSG.GET.", "STREAM.PURGE.", "STREAM.DELETE.", "STREAM.MSG.DELETE.", "STREAM.SNAPSHOT.",
			"STREAM.UPDATE.", "CONSUMER.NAMES.", "CONSUMER.LIST.", "DIRECT.GET.", "CONSUMER.CREATE.",
		} {
			requests["$JS.API."+verb+stream] = `{"seq":1,"last_by_subj":">","name":"` + stream + `","deliver_subject":"x","stream_name":"` +
				stream + `","config":{"ack_policy":"none"}}`
		}
	}
	return requests
}

// TestEngine_WritesNothingOfOthers publishes wherever others read, directly and by way of the answers to its own requests.
func TestEngine_WritesNothingOfOthers(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	listener, operator := r.connect(t, Operator)
	_, err := operator.Publish(ctx, "hookturn.deadletters.acme.shop.c", []byte("forged"))
	require.NoError(t, err)
	_, err = operator.Publish(ctx, "hookturn.replies.acme.shop.c", []byte("forged"))
	require.NoError(t, err)
	foreign, err := listener.SubscribeSync("hookturn.*.globex.>")
	require.NoError(t, err)
	require.NoError(t, listener.Flush())
	before := r.state(t)

	nc, engine := r.engine(t, "acme")
	targets := []string{
		"hookturn.events.globex.shop.c", "hookturn.replies.globex.shop.c", "hookturn.replies.acme.shop.c",
		"hookturn.deadletters.globex.shop.c", "hookturn.deadletters.acme.shop.c", "hookturn.advisories.globex.shop",
		"hookturn.notices.globex.shop.x", "hookturn.audit.acme.shop.bot_pause", "hookturn.audit._._.setup", "hookturn.sockets.x", "hookturn.queues.acme.shop.s", "$KV.HOOKTURN_KEYS.callback-address",
		"$KV.HOOKTURN_CHANNELS.x", "$O.HOOKTURN_FILES.M.x", "$JS.API.STREAM.PURGE.HOOKTURN_REPLIES",
		"$JS.API.STREAM.DELETE.HOOKTURN_DEADLETTERS", "$JS.ACK.HOOKTURN_REPLIES.globex.1.1.1.1.0",
	}
	for _, target := range targets {
		require.NoError(t, nc.Publish(target, []byte("forged")))
		for _, own := range []string{
			"$JS.hookturn.API.CONSUMER.MSG.NEXT.HOOKTURN_REPLIES.acme",
			"$JS.hookturn.API.CONSUMER.MSG.NEXT.HOOKTURN_DEADLETTERS.acme",
			"$JS.hookturn.API.CONSUMER.INFO.HOOKTURN_REPLIES.acme", "hookturn.notices.acme.shop.x",
		} {
			require.NoError(t, nc.PublishRequest(own, target, nil))
		}
	}
	_, err = engine.Publish(ctx, "hookturn.events.acme.shop.last", nil) // answered after all of the above
	require.NoError(t, err)
	after := r.state(t)
	before[schemas.StreamEvents]++
	require.Equal(t, before, after)
	require.NoError(t, listener.Flush())
	queued, _, err := foreign.Pending()
	require.NoError(t, err)
	require.Zero(t, queued, "something was published for the other tenant")
}

// state is how many messages each stream of the installation has.
func (r rig) state(t *testing.T) map[string]uint64 {
	t.Helper()
	_, operator := r.connect(t, Operator)
	counts := map[string]uint64{}
	list := operator.ListStreams(testContext(t))
	for info := range list.Info() {
		counts[info.Config.Name] = info.State.Msgs
	}
	require.NoError(t, list.Err())
	return counts
}

// TestEngine_UserOfTheSharedAccountWouldNotDo is why engines have accounts: with a user in hookturn's account that may
// do the same, one tenant has its own reply stored as another's.
func TestEngine_UserOfTheSharedAccountWouldNotDo(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, operator := r.connect(t, Operator)
	_, err := operator.Publish(ctx, "hookturn.replies.acme.shop.c", []byte("words of acme"))
	require.NoError(t, err)
	shared, _ := r.connect(t, Starter) // it may not publish below hookturn.queues
	require.NoError(t, shared.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.HOOKTURN_REPLIES.acme", "hookturn.queues.globex.shop.s", nil))
	require.Eventually(t, func() bool { return r.state(t)["HOOKTURN_QUEUES"] == 1 }, soon, poll,
		"the server checks the subject of answers now: engines could be users of hookturn's account")
}
