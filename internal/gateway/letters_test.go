package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/schemas"
)

// noLetters is a stream without dead letters.
type noLetters struct{}

func (noLetters) List(context.Context, bus.DeadLetterFilter) ([]bus.DeadLetter, error) {
	return nil, nil
}

func (noLetters) Show(context.Context, uint64) (bus.DeadLetter, error) {
	return bus.DeadLetter{}, bus.ErrNoDeadLetter
}

func (noLetters) Replay(context.Context, uint64) (uint64, error) { return 0, bus.ErrNoDeadLetter }

// lettersOf serves dead letters whose events no conversation knows.
func lettersOf(l letterapi.Letters) letterapi.API {
	return letterapi.API{Letters: l, Log: slog.New(slog.DiscardHandler), Knows: func(context.Context, bus.DeadLetter) (bool, error) {
		return false, nil
	}}
}

// fail stores a dead letter of a bot's conversation.
func (g *withNATS) fail(t *testing.T, owner schemas.BotID, conversation, subject, data string) {
	t.Helper()
	g.failed++
	require.NoError(t, g.letters.Write(t.Context(), &bus.FailedEvent{
		BotID: owner, Conversation: conversation, Subject: subject, Data: []byte(data), Sequence: g.failed,
		Received: time.Now(),
	}, fault.New(fault.UnknownStep, "there is no such step")))
}

// call sends a request and reads the answer.
func (g *withNATS) call(t *testing.T, method, path, token string, answer any) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.Addr()+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == http.StatusOK && answer != nil {
		require.NoError(t, json.Unmarshal(body, answer), string(body))
	}
	return response.StatusCode
}

func TestLetters_OfTheTokensTenantOnly(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	g.fail(t, shopBot, "c1", "hookturn.events.default.shop.c1", "first")
	g.fail(t, otherBot, "c1", "hookturn.events.acme.other.c1", "of acme")
	g.fail(t, shop2Bot, "c2", "hookturn.events.default.shop2.c2", "second\xff")
	g.fail(t, shopBot, "c1", "hookturn.events.default.shop", "without a conversation")
	g.fail(t, shopBot, "c1", "hookturn.events.acme.other.c1", "an event of acme")

	var page letterapi.Page
	require.Equal(t, http.StatusOK, g.call(t, http.MethodGet, "/deadletters", tokenOfDefault, &page))
	require.Len(t, page.DeadLetters, 4)
	first := page.DeadLetters[0]
	require.Equal(t, shopBot, first.BotID)
	require.Equal(t, uint64(1), first.Sequence)
	require.Equal(t, fault.UnknownStep, first.Reason)
	require.Equal(t, len("first"), first.Bytes)
	require.True(t, first.Replayable)
	require.False(t, page.DeadLetters[2].Replayable)
	require.Zero(t, page.After)

	page = letterapi.Page{}
	require.Equal(t, http.StatusOK, g.call(t, http.MethodGet, "/deadletters?limit=1", tokenOfDefault, &page))
	require.Len(t, page.DeadLetters, 1)
	next := "/deadletters?bot=shop2&tenant=acme&reason=unknown_step&since=2026-01-01T00:00:00Z&after=" + strconv.FormatUint(page.After, 10)
	page = letterapi.Page{}
	require.Equal(t, http.StatusOK, g.call(t, http.MethodGet, next, tokenOfDefault, &page))
	require.Len(t, page.DeadLetters, 1)
	require.Equal(t, shop2Bot, page.DeadLetters[0].BotID, "the token has the tenant, whatever the query asks for")

	var shown letterapi.Shown
	require.Equal(t, http.StatusOK, g.call(t, http.MethodGet, "/deadletters/3", tokenOfDefault, &shown))
	require.Equal(t, "second\xff", string(shown.Data))
	require.Equal(t, []string{"unknown_step"}, shown.Header["Hookturn-Reason"])
	for path, want := range map[string]int{
		"/deadletters/2": 404, "/deadletters/99": 404, "/deadletters/x": 404, "/deadletters/0": 404, "/deadletters/-1": 404,
		"/deadletters?limit=0": 400, "/deadletters?limit=1001": 400, "/deadletters?since=today": 400, "/deadletters?bot=a.b": 400,
		"/deadletters?after=x": 400,
	} {
		require.Equal(t, want, g.call(t, http.MethodGet, path, tokenOfDefault, nil), path)
	}
	for _, path := range []string{"/deadletters", "/deadletters/1"} {
		require.Equal(t, http.StatusUnauthorized, g.call(t, http.MethodGet, path, "no-such-token-at-all", nil))
	}
}

func TestLetters_Replay(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	g.fail(t, shopBot, "c1", "hookturn.events.default.shop.c1", "first")
	g.fail(t, otherBot, "c1", "hookturn.events.acme.other.c1", "of acme")
	g.fail(t, shopBot, "c1", "hookturn.events.default.shop", "without a conversation")
	g.fail(t, shopBot, "c1", "hookturn.events.acme.other.c1", "an event of acme")
	replay := func(letter, token string, answer any) int {
		return g.call(t, http.MethodPost, "/deadletters/"+letter+"/replay", token, answer)
	}
	require.Equal(t, http.StatusNotFound, replay("2", tokenOfDefault, nil), "of another tenant")
	require.Equal(t, http.StatusConflict, replay("3", tokenOfDefault, nil))
	require.Equal(t, http.StatusConflict, replay("4", tokenOfDefault, nil), "an event of another tenant")
	require.Equal(t, http.StatusUnauthorized, replay("1", "no-such-token-at-all", nil))
	require.Equal(t, http.StatusMethodNotAllowed, g.call(t, http.MethodGet, "/deadletters/1/replay", tokenOfDefault, nil))
	var replayed letterapi.Replayed
	require.Equal(t, http.StatusOK, replay("1", tokenOfDefault, &replayed))
	require.Equal(t, uint64(1), replayed.Sequence, "nothing was published before")
	event, err := g.events.GetMsg(t.Context(), replayed.Sequence)
	require.NoError(t, err)
	require.Equal(t, "first", string(event.Data))
	require.Equal(t, http.StatusNotFound, replay("1", tokenOfDefault, nil), "repeated")
}

func TestLetters_ShareOfATenant(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	for range LettersMax {
		_, err := d.Engines.letters.take("default", LettersMax)
		require.NoError(t, err)
	}
	get := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/deadletters", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		return d.do(r).Code
	}
	require.Equal(t, http.StatusTooManyRequests, get(tokenOfDefault))
	require.Equal(t, http.StatusOK, get(tokenOfAcme))
}

// oneLetter is a stream with one dead letter, whose client disconnects while it is replayed.
type oneLetter struct {
	noLetters

	disconnect context.CancelFunc
	replayed   chan error
}

func (oneLetter) Show(context.Context, uint64) (bus.DeadLetter, error) {
	return bus.DeadLetter{BotID: shopBot, Sequence: 1, Subject: "hookturn.events.default.shop.c1"}, nil
}

func (l oneLetter) Replay(ctx context.Context, _ uint64) (uint64, error) {
	l.disconnect()
	_, bounded := ctx.Deadline()
	if !bounded {
		l.replayed <- errors.New("a replay without a deadline")
	}
	l.replayed <- ctx.Err()
	return 7, nil
}

func TestLetters_ReplayOutlastsTheClient(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	ctx, cancel := context.WithCancel(t.Context())
	letter := oneLetter{disconnect: cancel, replayed: make(chan error, 2)}
	d.Engines.Letters = lettersOf(letter)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/deadletters/1/replay", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	require.Equal(t, http.StatusOK, d.do(r).Code)
	require.NoError(t, <-letter.replayed, "the event is published and its dead letter deleted")
}

func TestLetters_ReplayHasTheShareOfEvents(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	letter := oneLetter{disconnect: func() {}, replayed: make(chan error, 2)}
	d.Engines.Letters, d.EventShares = lettersOf(letter), full{tenant: "default"}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/deadletters/1/replay", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	requireProblem(t, d.do(r), http.StatusTooManyRequests, fault.QueueFull, "half of the event stream")
	require.Empty(t, letter.replayed)
}

// TestLetters_ReplayOfAKnownEvent: the conversation knows the event and would not answer it, so nothing is published and the
// dead letter stays.
func TestLetters_ReplayOfAKnownEvent(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	letter := oneLetter{disconnect: func() {}, replayed: make(chan error, 2)}
	d.Engines.Letters = lettersOf(letter)
	replay := func() *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/deadletters/1/replay", nil)
		r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
		return d.do(r)
	}
	d.Engines.Letters.Knows = func(context.Context, bus.DeadLetter) (bool, error) { return true, nil }
	requireProblem(t, replay(), http.StatusConflict, "", "has answered the event")
	d.Engines.Letters.Knows = func(context.Context, bus.DeadLetter) (bool, error) {
		return false, serviceerror.NewUnavailable("Temporal is away")
	}
	requireProblem(t, replay(), http.StatusServiceUnavailable, fault.Internal, "try again")
	require.Empty(t, letter.replayed)
}
