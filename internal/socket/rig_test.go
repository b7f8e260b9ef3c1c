package socket

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// pubSub is a bus in memory with its claims, shared by the hubs of a test.
type pubSub struct {
	mu         sync.Mutex
	subscribed map[int]listener
	next       int
	claimed    map[string]bool
	serves     map[string]func([]byte) []byte
	away       error // what Subscribed returns
}

type listener struct {
	bot, class string
	receive    func(class string, notice []byte)
}

func newPubSub(t *testing.T) *pubSub {
	w := &pubSub{subscribed: map[int]listener{}, claimed: map[string]bool{}, serves: map[string]func([]byte) []byte{}}
	t.Cleanup(func() { require.Zero(t, w.listeners(), "a subscription outlives its connection") })
	return w
}

func (w *pubSub) Notices(owner schemas.BotID, class string, receive func(string, []byte)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	n := w.next
	w.subscribed[n] = listener{owner.Bot, class, receive}
	return func() { w.mu.Lock(); defer w.mu.Unlock(); delete(w.subscribed, n) }, nil
}

func (w *pubSub) Subscribed(context.Context) error { w.mu.Lock(); defer w.mu.Unlock(); return w.away }

func (w *pubSub) leave(away error) { w.mu.Lock(); defer w.mu.Unlock(); w.away = away }

func (w *pubSub) listeners() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.subscribed) }

func (w *pubSub) notify(name, class, notice string) {
	w.mu.Lock()
	var all []listener
	for _, l := range w.subscribed {
		if l.bot == name && matches(l.class, class) {
			all = append(all, l)
		}
	}
	w.mu.Unlock()
	for _, l := range all {
		l.receive(class, []byte(notice))
	}
}

func (w *pubSub) Claim(_ context.Context, _, key string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := !w.claimed[key]
	w.claimed[key] = true
	return mine, nil
}

func (w *pubSub) Respond(address string, answer func([]byte) []byte) (func(context.Context), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serves[address] = answer
	return func(context.Context) { w.mu.Lock(); defer w.mu.Unlock(); delete(w.serves, address) }, nil
}

// scripts return the body of their run, or wait until they are released.
type scripts struct {
	mu   sync.Mutex
	ran  []step.ScriptRun
	hold chan struct{} // "wait" waits for it
}

func (s *scripts) Run(ctx context.Context, _ *bot.Channel, script string, _ time.Duration, tell func(*step.ScriptRun) error,
) (json.RawMessage, error) {
	run := &step.ScriptRun{}
	if err := tell(run); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.ran = append(s.ran, *run)
	s.mu.Unlock()
	switch script {
	case "gone":
		return nil, fault.New(fault.UnknownStep, "no script gone")
	case "raise":
		return nil, fault.New(fault.ScriptException, "secret of the builder")
	case "away":
		return nil, errors.New("address of Temporal")
	}
	if strings.Contains(string(run.Body), "wait") || script == "wait" {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return json.RawMessage(`{"statusCode":200,"body":` + string(run.Body) + `}`), nil
}

// ranWith returns the run with a body.
func (s *scripts) ranWith(body string) step.ScriptRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ran[slices.IndexFunc(s.ran, func(r step.ScriptRun) bool { return string(r.Body) == body })]
}

type counts struct {
	mu      sync.Mutex
	sockets int
	frames  map[string]int
}

func (c *counts) Sockets(delta int) { c.mu.Lock(); defer c.mu.Unlock(); c.sockets += delta }

// open returns the number of open connections.
func (c *counts) open() int { c.mu.Lock(); defer c.mu.Unlock(); return c.sockets }

func (c *counts) ShareExceeded(string, string) {}

func (c *counts) Frame(name, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frames == nil {
		c.frames = map[string]int{}
	}
	c.frames[name+" "+result]++
}

// server is a hub behind an HTTP server.
type server struct {
	*Hub
	t       *testing.T
	url     string
	channel *bot.Channel
	now     atomic.Pointer[bot.Channel] // as the token opens it; nil = it opens none
	scripts *scripts
	counts  *counts
}

func serve(t *testing.T, w *pubSub, ch *bot.Channel, change ...func(*Hub)) *server {
	t.Helper()
	s := &server{t: t, channel: ch, scripts: &scripts{hold: make(chan struct{})}, counts: &counts{}}
	s.Hub = &Hub{Scripts: s.scripts, Bus: w, Claims: w, Site: "here", Log: slog.New(slog.DiscardHandler), Count: s.counts}
	for _, f := range change {
		f(s.Hub)
	}
	s.now.Store(ch)
	require.NoError(t, s.Start())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Accept(w, r, ch, clientOf(&s.now)); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	s.url = web.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		s.Close(ctx)
		web.Close()
		require.Zero(t, s.counts.open())
	})
	return s
}

// clientOf is a client whose token opens a channel that may change.
func clientOf(now *atomic.Pointer[bot.Channel]) Client {
	return Client{Sender: netip.MustParseAddr("203.0.113.9"), Channel: func() (*bot.Channel, bool) {
		ch := now.Load()
		return ch, ch != nil
	}, Enter: func(int) (func(), bool) { return func() {}, true }}
}

// client is the outside system.
type client struct {
	*websocket.Conn
	t *testing.T
}

func (s *server) dial(change ...func(*websocket.DialOptions)) client {
	s.t.Helper()
	var o websocket.DialOptions
	for _, f := range change {
		f(&o)
	}
	conn, answer, err := websocket.Dial(s.t.Context(), s.url, &o)
	require.NoError(s.t, err)
	if answer.Body != nil {
		_ = answer.Body.Close()
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(8 << 20)
	return client{conn, s.t}
}

func (c client) say(text string) {
	c.t.Helper()
	require.NoError(c.t, c.Write(c.t.Context(), websocket.MessageText, []byte(text)))
}

// hear reads the next frame.
func (c client) hear() (name string, body map[string]any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), soon)
	defer cancel()
	_, text, err := c.Read(ctx)
	require.NoError(c.t, err)
	var frame []json.RawMessage
	require.NoError(c.t, json.Unmarshal(text, &frame))
	require.Len(c.t, frame, 2)
	require.NoError(c.t, json.Unmarshal(frame[0], &name))
	require.NoError(c.t, json.Unmarshal(frame[1], &body))
	return name, body
}

// hearAfter sends a frame and reads the next one.
func (c client) hearAfter(text string) (name string, body map[string]any) {
	c.t.Helper()
	c.say(text)
	return c.hear()
}

// ask sends a frame and gives its answer.
func (c client) ask(text string) map[string]any {
	c.t.Helper()
	c.say(text)
	_, body := c.hear()
	return body
}

// ends reads until the server ends the connection.
func (c client) ends() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), soon)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			require.NoError(c.t, ctx.Err())
			return websocket.CloseStatus(err)
		}
	}
}

func public() *bot.Channel {
	return &bot.Channel{
		BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, ID: "id-1", Code: "orders", Type: bot.ChannelPublic, RecvWS: "hook",
		Opts: bot.ChannelOpts{Roles: []string{"r"}},
	}
}
