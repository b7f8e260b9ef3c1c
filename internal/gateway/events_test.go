package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/schemas"
)

const goodEvent = `{"specversion":"1.0","id":"e1","source":"/engine","type":"hookturn.step.requested",` +
	`"time":"2026-11-20T12:00:00Z","subject":"c 1","bot":"shop","data":{"step":"ORDER_STATUS"}}`

func (d *testGateway) event(token, contentType, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return d.do(r)
}

func TestEvents_EventInStructuredMode(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w := d.event(tokenOfDefault, "application/cloudevents+json; charset=utf-8", goodEvent, "traceparent", trace,
		"tracestate", strings.Repeat("x", 513))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.JSONEq(t, `{"accepted":true,"id":"e1","duplicate":false}`, w.Body.String())
	require.Len(t, d.bus.events, 1)
	e := d.bus.events[0]
	require.Equal(t, []string{"default", "shop", "e1", "c 1", goodEvent}, []string{e.Tenant, e.Bot, e.id, e.Conversation, e.body})
	require.Equal(t, nats.Header{"traceparent": {trace}}, e.header, "a tracestate of more than 512 bytes is not passed on")
	again := d.event(tokenOfDefault, mediaStructured, goodEvent)
	require.Equal(t, http.StatusAccepted, again.Code)
	require.JSONEq(t, `{"accepted":true,"id":"e1","duplicate":true}`, again.Body.String())
	require.NotContains(t, d.log.String(), tokenOfDefault)
}

// An event's id is unique within its conversation only: an event of another caller is not a duplicate of it.
func TestEvents_DuplicateIsTheCallersOwnEvent(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	elsewhere := strings.Replace(goodEvent, `"subject":"c 1"`, `"subject":"c 2"`, 1)
	twin := strings.Replace(goodEvent, `"bot":"shop"`, `"bot":"other"`, 1)
	for _, event := range []struct{ token, body string }{{tokenOfDefault, goodEvent}, {tokenOfDefault, elsewhere}, {tokenOfAcme, twin}} {
		w := d.event(event.token, mediaStructured, event.body)
		require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		require.JSONEq(t, `{"accepted":true,"id":"e1","duplicate":false}`, w.Body.String())
	}
	require.Len(t, d.bus.events, 3)

	other := strings.Replace(goodEvent, "ORDER_STATUS", "REFUND", 1)
	requireProblem(t, d.event(tokenOfDefault, mediaStructured, other), http.StatusConflict, fault.BadEvent, "other content")
	require.Len(t, d.bus.events, 3)

	d.bus.err = fault.New(fault.QueueFull, "the stream is full")
	fresh := strings.Replace(goodEvent, `"id":"e1"`, `"id":"e2"`, 1)
	require.Equal(t, http.StatusServiceUnavailable, d.event(tokenOfDefault, mediaStructured, fresh).Code)
	d.bus.err = nil
	fresh = strings.Replace(fresh, "ORDER_STATUS", "REFUND", 1)
	require.Equal(t, http.StatusAccepted, d.event(tokenOfDefault, mediaStructured, fresh).Code, "what was refused does not keep the id")
}

func TestEvents_ByteOrderMark(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	w := d.event(tokenOfDefault, mediaStructured, "\uFEFF"+goodEvent)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	w = d.event(tokenOfDefault, mediaJSON, "\uFEFF"+`{"step":"ORDER_STATUS","variables":{"a":"\u0000"}}`, binaryHeaders...)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	w = d.event(tokenOfDefault, mediaJSON, `{"step":"ORDER_STATUS","user":{"id":"9\u0000"}}`, binaryHeaders...)
	requireProblem(t, w, 400, fault.BadEvent, "U+0000")
}

// binaryHeaders are the attributes of an event in binary mode.
var binaryHeaders = []string{
	"ce-specversion", "1.0", "ce-id", "e2", "ce-source", "/engine", "ce-type", schemas.TypeStepRequested,
	"ce-time", "2026-11-20T12:00:00Z", "ce-subject", "c", "ce-bot", "shop",
}

func TestEvents_EventInBinaryMode(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	binary := []string{
		"ce-specversion", "1.0", "ce-id", "e2", "ce-source", "/engine", "ce-type", schemas.TypeStepRequested,
		"ce-time", "2026-11-20T12:00:00Z", "ce-subject", "c%20%C3%BC", "ce-bot", "shop",
	}
	w := d.event(tokenOfDefault, "application/json", ` {"step":"X"} `, binary...)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	event, err := schemas.DecodeEvent([]byte(d.bus.events[0].body))
	require.NoError(t, err)
	require.Equal(t, []string{"e2", "c ü", "X"}, []string{event.ID, event.Subject, event.Data.Step})

	for name, c := range map[string]struct {
		headers []string
		detail  string
	}{
		"twice":       {append(slices.Clip(binary), "ce-id", "e3"), "has the header ce-id more than once"},
		"bad percent": {append(slices.Clip(binary), "ce-x", "%zz"), "must be UTF-8, percent-encoded, in the header ce-x"},
		"data":        {append(slices.Clip(binary), "ce-data", "{}"), "the header ce-data, which has no meaning"},
		"no id":       {append(binary[:2:2], binary[4:]...), "/id is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireProblem(t, newTestGateway(t).event(tokenOfDefault, "application/json", `{"step":"X"}`, c.headers...), 400, fault.BadEvent, c.detail)
		})
	}
}

func TestEvents_WhyAnEventIsRefused(t *testing.T) {
	t.Parallel()
	edit := func(old, by string) string { return strings.Replace(goodEvent, old, by, 1) }
	for name, c := range map[string]struct {
		token, contentType, body string
		err                      error
		status                   int
		kind                     fault.Kind
		detail                   string
	}{
		"no token":       {token: "-", status: 401, detail: "Authorization: Bearer"},
		"wrong token":    {token: "wrong-wrong-wrong-wrong-wrong", status: 401, detail: "Authorization: Bearer"},
		"another's bot":  {token: tokenOfAcme, status: 404, kind: fault.UnknownBot, detail: "no such bot"},
		"unknown bot":    {body: edit(`"shop"`, `"gone"`), status: 404, kind: fault.UnknownBot, detail: "no such bot"},
		"misspelt bot":   {body: edit(`"shop"`, `"shpo"`), status: 404, kind: fault.UnknownBot, detail: "did you mean shop?"},
		"no bot":         {body: edit(`"bot":"shop",`, ``), status: 400, kind: fault.BadEvent, detail: "/bot is required"},
		"bot no text":    {body: edit(`"shop"`, `7`), status: 400, kind: fault.BadEvent, detail: "/bot is required"},
		"no step":        {body: edit(`"step":"ORDER_STATUS"`, ``), status: 400, kind: fault.BadEvent, detail: "/data/step"},
		"no JSON":        {body: "<xml/>", status: 400, kind: fault.BadEvent, detail: "bad JSON at byte 0"},
		"empty":          {body: " ", status: 400, kind: fault.BadEvent, detail: "empty"},
		"not UTF-8":      {body: edit("c 1", "\xff"), status: 400, kind: fault.BadEvent, detail: "UTF-8"},
		"too large":      {body: `"` + strings.Repeat("a", httpapi.BodyMax), status: 413, kind: fault.TooLarge, detail: "1048576 bytes"},
		"batch":          {contentType: mediaBatch, status: 415, kind: fault.Encoding, detail: "one event in each request"},
		"plain JSON":     {contentType: mediaJSON, status: 415, kind: fault.Encoding, detail: "structured mode"},
		"no type":        {contentType: ";", status: 415, kind: fault.Encoding, detail: "structured mode"},
		"the bus full":   {err: fault.New(fault.QueueFull, "full"), status: 503, kind: fault.QueueFull, detail: "full"},
		"too large, bus": {err: fault.New(fault.TooLarge, "large"), status: 413, kind: fault.TooLarge, detail: "large"},
		"NATS away":      {err: fmt.Errorf("secret inside: %w", nats.ErrTimeout), status: 503, kind: fault.Internal, detail: "try again"},
		"rejected":       {err: fault.New(fault.BadEvent, "invalid key"), status: 400, kind: fault.BadEvent, detail: "invalid key"},
		"our own fault":  {err: errors.New("secret inside"), status: 500, kind: fault.Internal, detail: "internal error: report the time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.bus.err = c.err
			token, contentType, body := tokenOfDefault, mediaStructured, goodEvent
			switch c.token {
			case "":
			case "-":
				token = ""
			default:
				token = c.token
			}
			if c.contentType != "" {
				contentType = c.contentType
			}
			if c.body != "" {
				body = c.body
			}
			w := d.event(token, contentType, body)
			requireProblem(t, w, c.status, c.kind, c.detail)
			require.Empty(t, d.bus.events)
			if c.status == 401 {
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			}
		})
	}
}

// requireProblem checks a refusal and gives it.
func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, kind fault.Kind, detail string) *httpapi.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, status, p.Status)
	require.Equal(t, kind, p.Kind)
	require.Contains(t, p.Detail, detail)
	if status == http.StatusServiceUnavailable {
		require.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	return &p
}

func TestEventTokens_File(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	tokens, err := parseEventTokens([]byte("# for the shop\n\ndefault aaaaaaaaaaaaaaaaaaaa\r\nacme\tsha256:" + sum + "\n"))
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	require.Equal(t, "default", tokens[httpapi.DigestOf("aaaaaaaaaaaaaaaaaaaa")])
	for text, want := range map[string]string{
		"default":                      "line 1: want a tenant and a token",
		"\na.b aaaaaaaaaaaaaaaaaaaaaa": "line 2: the tenant is not of the form",
		"default short":                "line 1: the token is shorter than 20 characters",
		"default sha256:xy":            `line 1: after "sha256:" 64 hex digits must follow`,
		"default aaaaaaaaaaaaaaaaaaaa\nacme aaaaaaaaaaaaaaaaaaaa": "line 2: the token belongs to tenant default already",
		strings.Repeat("#", tokensMax+1):                          "larger than",
	} {
		_, err := parseEventTokens([]byte(text))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "aaaa")
		require.NotContains(t, err.Error(), "short ")
	}
}

// otherFiles are the bots of which another starter has another file.
type otherFiles struct {
	of  string
	err error
}

func (o otherFiles) Differ(_ context.Context, _ *bot.Set, id schemas.BotID) (bool, error) {
	return id.Bot == o.of, o.err
}

// TestEvents_BotOfNewerFile: a gateway that does not have a bot yet asks for another request instead of rejecting it for good.
func TestEvents_BotOfNewerFile(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.Rollout = otherFiles{of: "late"}
	event := func(name string) *httptest.ResponseRecorder {
		return d.event(tokenOfDefault, mediaStructured, strings.Replace(goodEvent, `"shop"`, `"`+name+`"`, 1))
	}
	w := event("late")
	requireProblem(t, w, http.StatusServiceUnavailable, fault.UnknownBot, "send the request again")
	require.Equal(t, "2", w.Header().Get("Retry-After"))
	requireProblem(t, event("gone"), http.StatusNotFound, fault.UnknownBot, "no such bot")
	require.Equal(t, http.StatusAccepted, event("shop").Code)

	r := httptest.NewRequest(http.MethodGet, "/replies?bot=late", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	requireProblem(t, d.do(r), http.StatusServiceUnavailable, fault.UnknownBot, "send the request again")

	d.Rollout = otherFiles{err: nats.ErrTimeout}
	require.Equal(t, http.StatusServiceUnavailable, event("gone").Code, "it is not known whether another one has it")
}
