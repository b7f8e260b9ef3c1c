package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// withNATS is a gateway that listens, whose events and replies are on a NATS server.
type withNATS struct {
	*Server
	js        jetstream.JetStream
	publisher *bus.Publisher
	letters   *bus.DeadLetters
	engines   *Engines
	failed    uint64 // dead letters that fail has stored
	events    jetstream.Stream
	tokens    string // the file of event tokens
	stop      func() error
}

func startWithNATS(t *testing.T) *withNATS {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	require.NoError(t, err)
	g := &withNATS{js: js, publisher: bus.NewPublisher(js), tokens: filepath.Join(t.TempDir(), "tokens")}
	g.permit(t, "default "+tokenOfDefault+"\nacme "+tokenOfAcme+"\n")
	d := newTestGateway(t)
	d.Log = slog.New(slog.DiscardHandler)
	g.letters, g.events = bus.NewDeadLetters(js, streams), streams.Events()
	g.engines = &Engines{Replies: bus.NewReplies(streams), Letters: lettersOf(g.letters)}
	d.Bus, d.Engines = g.publisher, g.engines
	d.EventTokens, err = ReadEventTokens(g.tokens, d.Log)
	require.NoError(t, err)
	g.Server, err = Start("127.0.0.1:0", d.Options)
	require.NoError(t, err)
	g.stop = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		return g.Stop(ctx)
	})
	t.Cleanup(func() { _ = g.stop() })
	return g
}

func (g *withNATS) permit(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(g.tokens, []byte(text), 0o600))
}

// reply publishes the reply to an event of the conversation c 1 of a bot.
func (g *withNATS) reply(t *testing.T, owner schemas.BotID, event, replyType string) schemas.Reply {
	t.Helper()
	r, err := schemas.NewReply(owner.WithConversation("c 1"), event, replyType, time.Now(), schemas.StepReplied{EventID: event})
	require.NoError(t, err)
	require.NoError(t, g.publisher.PublishReply(t.Context(), owner, r))
	return r
}

var (
	shopBot  = schemas.BotID{Tenant: "default", Bot: "shop"}
	shop2Bot = schemas.BotID{Tenant: "default", Bot: "shop2"}
	otherBot = schemas.BotID{Tenant: "acme", Bot: "other"}
)

// sse is a client that reads server-sent events.
type sse struct {
	*bufio.Reader
	answer *http.Response
	end    context.CancelFunc
}

func (g *withNATS) open(t *testing.T, token, query string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Addr()+"/replies"+query, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := browser.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return &sse{bufio.NewReader(answer.Body), answer, cancel}
}

// next returns the id and the data of the next event; the data is "" for the one that holds only the position.
func (s *sse) next(t *testing.T) (id, data string) {
	t.Helper()
	for {
		line, err := s.ReadString('\n')
		require.NoError(t, err)
		line = strings.TrimSuffix(line, "\n")
		if value, ok := strings.CutPrefix(line, "id: "); ok {
			id = value
		}
		if value, ok := strings.CutPrefix(line, "data: "); ok {
			data = value
		}
		if line == "" && id != "" {
			return id, data
		}
	}
}

func (s *sse) requireReply(t *testing.T, want schemas.Reply) (id string) {
	t.Helper()
	id, data := s.next(t)
	var got schemas.Reply
	require.NoError(t, json.Unmarshal([]byte(data), &got))
	require.Equal(t, want.ID, got.ID)
	require.JSONEq(t, string(want.Data), string(got.Data))
	return id
}

func TestReplies_StreamResumes(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	old := g.reply(t, shopBot, "e0", schemas.TypeStepReplied)
	s := g.open(t, tokenOfDefault, "?bot=shop")
	require.Equal(t, http.StatusOK, s.answer.StatusCode)
	require.Equal(t, "text/event-stream", s.answer.Header.Get("Content-Type"))
	id, data := s.next(t)
	require.Equal(t, []string{"1", ""}, []string{id, data}, "the position before the first reply")
	g.reply(t, shop2Bot, "e1", schemas.TypeStepReplied)
	g.reply(t, otherBot, "e1", schemas.TypeStepReplied)
	first := g.reply(t, shopBot, "e1", schemas.TypeStepReplied)
	at := s.requireReply(t, first)
	require.Equal(t, "4", at, "the id is the sequence in the stream")
	s.end()

	second := g.reply(t, shopBot, "e2", schemas.TypeStepReplied)
	s = g.open(t, tokenOfDefault, "?bot=shop&after=0", "Last-Event-ID", at)
	s.next(t)
	require.Equal(t, "5", s.requireReply(t, second), "Last-Event-ID beats after, as browsers reconnect")
	s.end()

	s = g.open(t, tokenOfDefault, "?after=0")
	s.next(t)
	s.requireReply(t, old)
	third := g.reply(t, shop2Bot, "e3", schemas.TypeStepReplied)
	id, _ = s.next(t)
	require.Equal(t, "2", id, "without bot, all bots of the tenant")
	s.requireReply(t, first)
	s.requireReply(t, second)
	s.requireReply(t, third)
	s.end()

	s = g.open(t, tokenOfAcme, "?after=0&conversation=c%201")
	s.next(t)
	id, data = s.next(t)
	require.Equal(t, "3", id)
	require.Contains(t, data, `"source":"/hookturn/acme/other"`, "nothing of another tenant")
}

func TestReplies_StreamRejected(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	for name, c := range map[string]struct {
		token, query string
		status       int
		kind         fault.Kind
	}{
		"wrong token":        {"wrong-wrong-wrong-wrong", "", 401, ""},
		"another's bot":      {tokenOfAcme, "?bot=shop", 404, fault.UnknownBot},
		"wildcard":           {tokenOfDefault, "?bot=*", 404, fault.UnknownBot},
		"not a sequence":     {tokenOfDefault, "?after=x", 400, fault.BadEvent},
		"negative":           {tokenOfDefault, "?after=-1", 400, fault.BadEvent},
		"beyond the stream":  {tokenOfDefault, "?after=7", 410, fault.Gone},
		"largest there is":   {tokenOfDefault, "?after=18446744073709551615", 400, fault.BadEvent},
		"empty is not given": {tokenOfDefault, "?after=", 400, fault.BadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := g.open(t, c.token, c.query)
			require.Equal(t, c.status, s.answer.StatusCode)
			body, err := io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, "application/problem+json", s.answer.Header.Get("Content-Type"))
			if c.kind != "" {
				require.Contains(t, string(body), fmt.Sprintf(`"kind":%q`, c.kind))
			}
		})
	}
}

func TestReplies_StreamEndsWithTheToken(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	s := g.open(t, tokenOfDefault, "")
	s.next(t)
	g.permit(t, "acme "+tokenOfDefault+"\n") // the token is another tenant's now
	<-time.After(1100 * time.Millisecond)    // the file is read again
	g.reply(t, shopBot, "e1", schemas.TypeStepReplied)
	rest, err := io.ReadAll(s)
	require.NoError(t, err)
	require.NotContains(t, string(rest), "data:", "nothing is sent to a token that lost its tenant")
}

func TestReplies_StreamEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	s := g.open(t, tokenOfDefault, "")
	s.next(t)
	require.NoError(t, g.stop(), "a stream does not hold up a stop")
	_, err := io.ReadAll(s)
	require.NoError(t, err, "the stream ends, it does not break off")
}

func TestReplies_StreamsOfATenantBounded(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	var open []*sse
	for range ReplyStreamsMax {
		s := g.open(t, tokenOfDefault, "")
		require.Equal(t, http.StatusOK, s.answer.StatusCode)
		open = append(open, s)
	}
	full := g.open(t, tokenOfDefault, "")
	require.Equal(t, http.StatusTooManyRequests, full.answer.StatusCode)
	require.Equal(t, "1", full.answer.Header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, g.open(t, tokenOfAcme, "").answer.StatusCode, "another tenant has places of its own")
	open[0].end()
	require.Eventually(t, func() bool { return g.open(t, tokenOfDefault, "").answer.StatusCode == http.StatusOK }, soon, 20*time.Millisecond)
}

func (g *withNATS) post(t *testing.T, query, event string) (int, map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Addr()+"/events"+query, strings.NewReader(event))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	r.Header.Set("Content-Type", mediaStructured)
	answer, err := browser.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	var body map[string]any
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&body))
	return answer.StatusCode, body
}

// answering runs an engine's other side, which answers each event with replies of types, until stop is called.
func (g *withNATS) answering(t *testing.T, types ...string) (stop func()) {
	t.Helper()
	s, err := g.js.Conn().SubscribeSync(schemas.SubjectEvents + ".>")
	require.NoError(t, err)
	require.NoError(t, g.js.Conn().Flush())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := s.NextMsgWithContext(ctx) // the event comes when the test has the processor
			if err != nil {
				return
			}
			event, err := schemas.DecodeEvent(m.Data)
			if err != nil {
				return
			}
			for _, replyType := range types {
				r, err := schemas.NewReply(shopBot.WithConversation(event.Subject), event.ID, replyType, time.Now(),
					schemas.StepReplied{
						EventID: event.ID, Outcome: schemas.OutcomeSuccess, Messages: []schemas.Message{schemas.Text("done")},
					})
				if err == nil {
					_ = g.publisher.PublishReply(context.Background(), shopBot, r)
				}
			}
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done; _ = s.Unsubscribe() })
	t.Cleanup(stop)
	return stop
}

func TestEvents_WaitReturnsTheReply(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	stop := g.answering(t, schemas.TypeStepProgress, schemas.TypeStepReplied)
	status, body := g.post(t, "?wait=15s", goodEvent)
	require.Equal(t, http.StatusOK, status, body)
	reply := body["reply"].(map[string]any)
	require.Equal(t, schemas.TypeStepReplied, reply["type"], "progress is not the reply")
	require.Equal(t, "e1", reply["data"].(map[string]any)["event_id"])
	require.Equal(t, []any{true, "e1", false}, []any{body["accepted"], body["id"], body["duplicate"]})

	stop()
	status, body = g.post(t, "?wait=1m", goodEvent) // longer than the test: the stored reply comes at once
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, true, body["duplicate"])
	require.Equal(t, reply["id"], body["reply"].(map[string]any)["id"], "a repeated request gets the reply that is stored")
}

func TestEvents_WaitEnds(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	status, body := g.post(t, "?wait=50ms", goodEvent)
	require.Equal(t, http.StatusAccepted, status, body)
	require.Equal(t, map[string]any{"accepted": true, "id": "e1", "duplicate": false}, body)
	g.reply(t, shopBot, "e9", schemas.TypeStepReplied)
	status, _ = g.post(t, "?wait=50ms", strings.Replace(goodEvent, `"id":"e1"`, `"id":"e2"`, 1))
	require.Equal(t, http.StatusAccepted, status, "the reply to another event is not the reply")
	collected := strings.Replace(strings.Replace(goodEvent, "step.requested", "entities.collected", 1),
		`{"step":"ORDER_STATUS"}`, `{"entities":{}}`, 1)
	status, _ = g.post(t, "?wait=60s", strings.Replace(collected, `"id":"e1"`, `"id":"e3"`, 1))
	require.Equal(t, http.StatusAccepted, status, "entities are answered under the id of the step that waited for them")
	for _, wait := range []string{"61s", "-1s", "x", "10"} {
		status, body = g.post(t, "?wait="+wait, goodEvent)
		require.Equal(t, http.StatusBadRequest, status, wait)
		require.Contains(t, body["detail"], "wait is not a valid duration")
	}
}

func TestEvents_WaitingReplyEndsTheWait(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	g.answering(t, schemas.TypeStepWaiting)
	status, body := g.post(t, "?wait=15s", goodEvent)
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, schemas.TypeStepWaiting, body["reply"].(map[string]any)["type"])
}

func TestShares_OfEachTenant(t *testing.T) {
	t.Parallel()
	var s shares
	first, err := s.take("a", 1)
	require.NoError(t, err)
	_, err = s.take("a", 1)
	require.ErrorContains(t, err, "open already")
	other, err := s.take("b", 1)
	require.NoError(t, err)
	first()
	again, err := s.take("a", 1)
	require.NoError(t, err)
	other()
	again()
	require.Zero(t, s.Len(), "nothing is kept for a tenant without requests")
}

// TestReplies_EventIsVisible: operators read streams in terminals. The value stays the same.
func TestReplies_EventIsVisible(t *testing.T) {
	t.Parallel()
	event := eventOf(bus.StoredReply{Sequence: 7, Data: []byte("{\"a\":\n\"x\u009b31m\u202e\"}")})
	require.Equal(t, "id: 7\ndata: "+`{"a": "x\u009b31m\u202e"}`+"\n\n", string(event))
}
