package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// testGateway is a gateway with test doubles for its dependencies, which record its calls.
type testGateway struct {
	Options
	runs   *runs
	bus    *stored
	bare   bareWorker
	signer *signedurl.Signer
	log    bytes.Buffer
}

func newTestGateway(t *testing.T) *testGateway {
	t.Helper()
	key := make([]byte, signedurl.KeySize)
	signer, err := signedurl.NewSigner(key, "callback")
	require.NoError(t, err)
	links, err := signedurl.NewSigner(key, "file")
	require.NoError(t, err)
	d := &testGateway{runs: &runs{}, signer: signer, bus: &stored{}}
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	bots := loadBots(t)
	d.Options = Options{
		Channels: channel.NewRegistry(bots, bot.Options{}, log), Scripts: &Scripts{Bots: bots, Temporal: d.runs, Bare: &d.bare, Log: log},
		Files: &shelf{}, Links: Links{Signer: links, Gateway: "https://hooks.example/"},
		Engines: &Engines{Replies: silent{}, Letters: lettersOf(noLetters{})}, Bots: bots, Bus: d.bus, Posted: posted{}, Chats: chats{}, Callbacks: signer, Temporal: d.runs, EventTokens: eventTokens(t),
		Log: log, Metrics: telemetry.NewMetrics(),
	}
	return d
}

// do sends a request through every layer but the network.
func (d *testGateway) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.routes().ServeHTTP(w, r)
	return w
}

func (d *testGateway) post(path, contentType string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, body)
	r.Header.Set("Content-Type", contentType)
	return d.do(r)
}

const (
	shopFile = `
bot: shop
secrets: {product: [{env: PRODUCT_NEW}, {env: PRODUCT_OLD}]}
adapters:
  agents: {account: acc-1, product_token: product, extra_message_types: [media]}
  closed: {account: acc-1, message_endpoint: {url: "https://closed.example/"}}
`
	channelsFile = `
bot: shop2
secrets: {hook: {env: HOOK}, sync: {env: SYNC}, quick: {env: QUICK}, feed: {env: FEED}, files: {env: FILES}}
scripts: {hook: {file: hook.py, timeout: 45s}}
channels:
  - {code: hook, type: public, token_local: hook, recv_svcscriptcode: hook}
  - {code: quick, type: public, token_local: quick, recv_svcscriptcode: hook, run: bare, opts: {issync: true, recv_timeout: 1}}
  - {code: sync, type: public, token_local: sync, recv_svcscriptcode: hook, ip_mask: [203.0.113.0/24], opts: {issync: true, recv_timeout: 1}}
  - {code: feed, type: subscriber, token_local: feed, recv_svcscriptcode: hook}
  - {code: files, type: desk, token_local: files, opts: {allow_files_api: true}}
channel_types: [{type: desk, recv_svcscriptcode: hook, issync: true}]
`
	tokenOfHook  = "0123456789abcdef-hook"
	tokenOfSync  = "0123456789abcdef-sync"
	tokenOfQuick = "0123456789abcdef-quick"
	tokenOfFeed  = "0123456789abcdef-feed"
	tokenOfFiles = "0123456789abcdef-files"

	guardedFile = `
bot: guarded
secrets: {bare: {env: BARE}, roles: {env: ROLES}}
scripts: {hook: {file: hook.py, timeout: 45s}}
channel_roles: {exec: caller, ws: reader, files: filer, subscriptions: monitor}
channels:
  - {code: bare, type: public, token_local: bare, recv_svcscriptcode: hook, opts: {allow_files_api: true}}
  - {code: roles, type: public, token_local: roles, recv_svcscriptcode: hook,
     opts: {allow_files_api: true, roles: [caller, reader, filer, monitor]}}
`
	tokenWithoutRoles = "0123456789abcdef-bare"
	tokenWithRoles    = "0123456789abcdef-roles"

	otherFile = "bot: other\ntenant: acme\n"

	tokenOfDefault = "tttttttttttttttttttt-default"
	tokenOfAcme    = "tttttttttttttttttttt-acme"
)

type botSet struct{ *bot.Set }

func (b botSet) Current() *bot.Set { return b.Set }

func loadBots(t *testing.T) Bots {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(shopFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other.yaml"), []byte(otherFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop2.yaml"), []byte(channelsFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "guarded.yaml"), []byte(guardedFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hook.py"), []byte("def main(event, context): pass"), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, LookupEnv: func(name string) (string, bool) {
		value, ok := map[string]string{"PRODUCT_NEW": "new-token", "PRODUCT_OLD": "old-token",
			"HOOK": tokenOfHook, "SYNC": tokenOfSync, "QUICK": tokenOfQuick, "FEED": tokenOfFeed, "FILES": tokenOfFiles,
			"BARE": tokenWithoutRoles, "ROLES": tokenWithRoles}[name]
		return value, ok
	}})
	require.NoError(t, err)
	return botSet{set}
}

func eventTokens(t *testing.T) *EventTokens {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("default "+tokenOfDefault+"\nacme "+tokenOfAcme+"\n"), 0o600))
	tokens, err := ReadEventTokens(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return tokens
}

// stored is a NATS client that records what it receives, or returns a configured error.
type stored struct {
	mu      sync.Mutex
	events  []storedEvent
	replies []schemas.Reply
	err     error
	handled bool // the messages of the events are not stored any more
}

type storedEvent struct {
	schemas.ConversationKey

	id, body string
	header   nats.Header
}

func (s *stored) PublishEventWithin(
	ctx context.Context, key schemas.ConversationKey, event []byte, id string, h nats.Header, room func(context.Context) error,
) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, false, s.err
	}
	for _, e := range s.events {
		if e.id != id || e.ConversationKey != key {
			continue
		}
		if !s.handled {
			return 1, true, nil
		}
		if err := room(ctx); err != nil {
			return 0, false, err
		}
	}
	s.events = append(s.events, storedEvent{key, id, string(event), h})
	return uint64(len(s.events)), false, nil
}

func (s *stored) PublishReply(_ context.Context, _ schemas.BotID, reply schemas.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = append(s.replies, reply)
	return s.err
}

// silent is a reply stream without replies.
type silent struct{}

func (silent) Follow(ctx context.Context, _ bus.Tail, _ func(), _ func(bus.StoredReply) error) error {
	<-ctx.Done()
	return nil
}
func (silent) Bounds(context.Context) (first, last uint64, err error) { return 1, 0, nil }

func (silent) Listen(schemas.ConversationKey, []string) (<-chan schemas.Reply, func(), error) {
	return nil, func() {}, nil
}

func (silent) Find(context.Context, schemas.ConversationKey, string, time.Time) (*schemas.Reply, error) {
	return nil, nil
}

// posted keeps reservations in memory.
type posted map[string]string

func (p posted) Reserve(_ context.Context, key schemas.ConversationKey, eventID, content string) error {
	name := schemas.EventMsgID(key, eventID)
	if old, taken := p[name]; taken && old != content {
		return store.ErrOtherContent
	}
	p[name] = content
	return nil
}

func (p posted) Reserved(_ context.Context, key schemas.ConversationKey, eventID, content string) (bool, error) {
	return p[schemas.EventMsgID(key, eventID)] == content, nil
}

func (p posted) Release(_ context.Context, key schemas.ConversationKey, eventID string) error {
	delete(p, schemas.EventMsgID(key, eventID))
	return nil
}

// chats know one chat, by the id that the router gives it.
type chats map[string]string

func (c chats) Conversation(_ context.Context, _ schemas.BotID, chat string) (string, error) {
	return c[chat], nil
}
