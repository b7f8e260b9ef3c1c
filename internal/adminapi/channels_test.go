package adminapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// kept is a store in memory.
type kept struct {
	revision uint64
	text     map[string][]byte
	at       map[string]uint64
	err      error
	changed  func(id string, text []byte, revision uint64) // of the registry that follows it
}

// Follow lets a registry follow what is stored from now on.
func (k *kept) Follow(_ context.Context, begin func(), changed func(string, []byte, uint64), ready func()) error {
	k.changed = changed
	begin()
	ready()
	return nil
}

func (k *kept) Put(_ context.Context, id string, text []byte, revision uint64) (uint64, error) {
	if k.err != nil {
		return 0, k.err
	}
	if k.at[id] != revision {
		return 0, store.ErrChanged
	}
	k.revision++
	k.text[id], k.at[id] = text, k.revision
	k.changed(id, text, k.revision)
	return k.revision, nil
}

func (k *kept) Delete(_ context.Context, id string, revision uint64) error {
	if k.at[id] != revision {
		return store.ErrChanged
	}
	delete(k.text, id)
	delete(k.at, id)
	return k.err
}

const operatorToken = "token-of-the-operator"

// office is an administration whose store is in memory, and what it advised.
type office struct {
	http.Handler
	channels Channels
	registry *channel.Registry
	store    *kept
	advised  []string
	audited  *shelf
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{store: &kept{text: map[string][]byte{}, at: map[string]uint64{}}, audited: &shelf{}}
	log := slog.New(slog.DiscardHandler)
	o.registry = channel.NewRegistry(loadBots(t), bot.Options{}, log)
	require.NoError(t, o.registry.Follow(t.Context(), o.store, func() {}))
	o.channels = Channels{
		Administration: &channel.Administration{Registry: o.registry, Store: o.store, Licences: map[string]int{"public": 3}},
		Log:            log, Audit: o.audited,
		Advise: func(owner schemas.BotID, advisory []byte) error {
			o.advised = append(o.advised, owner.Tenant+"/"+owner.Bot+" "+string(advisory))
			return nil
		},
	}
	o.Handler = API{Log: log, Operators: operatorsOf(t, operatorToken), Channels: o.channels}.Handler()
	return o
}

func (o *office) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+operatorToken)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	return w
}

func TestChannels_ChannelIsMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public","recv_svcscriptcode":"hook",
		"opts":{"title":"Late","roles":["a"]},"ext":{"team":7}}`)
	require.Equal(t, 201, w.Code, w.Body)
	made := decoded(t, w)
	token := made["token_local"].(string)
	require.Len(t, token, 32)
	ch := made["channel"].(map[string]any)
	id := ch["id"].(string)
	require.Equal(t, []any{"default", "shop2", "late"}, []any{ch["tenant"], ch["bot"], ch["code"]})
	require.Equal(t, 7.0, ch["ext"].(map[string]any)["team"]) //nolint:testifylint // it is the number that was sent
	require.NotEmpty(t, ch["ext"].(map[string]any)["ct"])
	require.Equal(t, "/admin/v1/channels/"+id, w.Header().Get("Location"))
	require.NotContains(t, string(o.store.text[id]), token, "only a hash is kept")
	found, ok := o.registry.ByToken(httpapi.DigestOf(token))
	require.True(t, ok)
	require.Equal(t, id, found.ID)
	require.NotContains(t, w.Body.String()[strings.Index(w.Body.String(), "channel"):strings.Index(w.Body.String(), "token_local")], token)

	w = o.ask("GET", "/admin/v1/channels/"+id, "")
	require.Equal(t, 200, w.Code)
	etag := w.Header().Get("ETag")
	require.NotContains(t, w.Body.String(), token)

	w = o.ask("PATCH", "/admin/v1/channels/"+id, `{"opts":{"title":null,"issync":true},"url":"https://x.example/","rotate_token":true}`,
		"If-Match", etag)
	require.Equal(t, 200, w.Code, w.Body)
	second := decoded(t, w)["token_local"].(string)
	ch = decoded(t, w)["channel"].(map[string]any)
	require.Equal(t, map[string]any{
		"title": "", "comment": "", "allow_files_api": false, "filter_capabilities": "*", "issync": true, "recv_timeout": 0.0,
		"roles": []any{"a"}, "userid": "",
	}, ch["opts"])
	for _, valid := range []string{token, second} {
		found, ok = o.registry.ByToken(httpapi.DigestOf(valid))
		require.True(t, ok, "both are valid while they are rotated")
		require.True(t, found.Opts.Sync)
	}
	requireProblem(t, o.ask("PATCH", "/admin/v1/channels/"+id, `{"url":null}`, "If-Match", etag), 412, "", "changed since")
	third := decoded(t, o.ask("PATCH", "/admin/v1/channels/"+id, `{"rotate_token":true}`))["token_local"].(string)
	_, ok = o.registry.ByToken(httpapi.DigestOf(token))
	require.False(t, ok, "the third makes the first invalid")

	list := decoded(t, o.ask("GET", "/admin/v1/channels?bot=shop2&type=public&origin=admin&limit=1", ""))
	require.EqualValues(t, 1, list["total"])
	require.Len(t, list["channels"], 1)
	require.EqualValues(t, 0, decoded(t, o.ask("GET", "/admin/v1/channels?bot=other", ""))["total"])
	require.Empty(t, decoded(t, o.ask("GET", "/admin/v1/channels?offset=1&origin=admin", ""))["channels"])
	require.Equal(t, id, decoded(t, o.ask("GET", "/admin/v1/channels/lookup?tenant=default&bot=shop2&code=late", ""))["id"])
	require.Equal(t, "sync", decoded(t, o.ask("GET", "/admin/v1/channels/lookup?tenant=default&bot=shop2&code=sync", ""))["code"])

	require.Equal(t, 204, o.ask("DELETE", "/admin/v1/channels/"+id, "").Code)
	_, ok = o.registry.ByToken(httpapi.DigestOf(third))
	require.False(t, ok)
	requireProblem(t, o.ask("GET", "/admin/v1/channels/"+id, ""), 404, "", "no such channel")
	require.Len(t, o.advised, 4)
	for i, action := range []string{"created", "changed", "changed", "deleted"} {
		require.Contains(t, o.advised[i], `"action":"`+action+`","by":"operator"`)
		require.Contains(t, o.advised[i], "default/shop2 ")
	}
}

func TestChannels_WhatTheAdministrationRefuses(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for body, want := range map[string]string{
		`{"code":"x","type":"public"}`:                                                       "/bot is required",
		`{"bot":"gone","code":"x","type":"public"}`:                                          "there is no bot gone",
		`{"bot":"shop2","tenant":"acme","code":"x","type":"public"}`:                         "there is no bot shop2 of tenant acme",
		`{"bot":"shop2","code":"x"}`:                                                         "$.type: is missing",
		`{"bot":"shop2","code":"x y","type":"public"}`:                                       "$.code: is not a name",
		`{"bot":"shop2","code":"x","type":"public","recv_svcscriptcode":"no"}`:               "names a script",
		`{"bot":"shop2","code":"x","type":"public","token_local":"no"}`:                      "names a secret",
		`{"bot":"shop2","code":"x","type":"public","unknown":1}`:                             "unknown key",
		`{"bot":"shop2","code":"sync","type":"public"}`:                                      "has a channel of the code sync",
		`{"bot":"shop2","code":"x","type":"public","id":"lookup"}`:                           "cannot be an id",
		`{"bot":"shop2","code":"x","type":"public","id":"` + strings.Repeat("7", 129) + `"}`: "at most 128",
		`[]`: "not an object",
		`{`:  "the body",
	} {
		w := o.ask("POST", "/admin/v1/channels", body)
		require.Contains(t, []int{400, 422}, w.Code, w.Body)
		require.Contains(t, w.Body.String(), want)
	}
	require.Equal(t, 201, o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"third","type":"public"}`).Code)
	requireProblem(t, o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"fourth","type":"public"}`), 422, fault.Config, "licence allows 3")
	requireProblem(t, o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"third","type":"subscriber"}`), 422, fault.Config, "has the code third already")
	id := decoded(t, o.ask("GET", "/admin/v1/channels/lookup?tenant=default&bot=shop2&code=third", ""))["id"].(string)
	for body, status := range map[string]int{
		`{"bot":"other"}`: 400, `{"code":"other"}`: 422, `{"type":"subscriber"}`: 422, `{"opts":{"recv_timeout":61}}`: 422, `7`: 400,
	} {
		requireProblem(t, o.ask("PATCH", "/admin/v1/channels/"+id, body), status, map[bool]fault.Kind{true: fault.BadEvent, false: fault.Config}[status == 400], "")
	}
	requireProblem(t, o.ask("DELETE", "/admin/v1/channels/"+id, "", "If-Match", `"999"`), 412, "", "")
	requireProblem(t, o.ask("PUT", "/admin/v1/channels/"+id, ""), 405, "", "use GET or PATCH or DELETE")
	requireProblem(t, o.ask("GET", "/admin/v1/channels?limit=0", ""), 400, fault.BadEvent, "limit")
	requireProblem(t, o.ask("GET", "/admin/v1/channels?offset=x", ""), 400, fault.BadEvent, "offset")
	requireProblem(t, o.ask("GET", "/admin/v1/users", ""), 404, "", "no such path")
	requireProblem(t, o.ask("GET", "/admin/v1/channels", "", "Authorization", "Bearer wrong"), 401, "", "")
	requireProblem(t, o.ask("GET", "/admin/v1/channels", "", "Authorization", ""), 401, "", "")
	for _, ours := range []error{fault.New(fault.Config, "not this one"), errors.New("cannot be written")} {
		o.store.err = ours
		requireProblem(t, o.ask("PATCH", "/admin/v1/channels/"+id, `{"opts":{}}`), 500, fault.Of(ours).Kind, "")
	}
	o.store.err = fault.New(fault.BadEvent, "invalid key")
	requireProblem(t, o.ask("PATCH", "/admin/v1/channels/"+id, `{"opts":{}}`), 400, fault.BadEvent, "invalid key")
	o.store.err = fmt.Errorf("address of NATS: %w", nats.ErrNoResponders)
	requireProblem(t, o.ask("PATCH", "/admin/v1/channels/"+id, `{"opts":{}}`), 503, fault.Internal, "try again")
}

// TestChannels_ChangeKeepsDigits checks that a change keeps every digit of the numbers that it brings, and of those that the
// channel has.
func TestChannels_ChangeKeepsDigits(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public","ext":{"a":12345678901234567890}}`)
	require.Equal(t, 201, w.Code, w.Body)
	id := decoded(t, w)["channel"].(map[string]any)["id"].(string)
	w = o.ask("PATCH", "/admin/v1/channels/"+id, `{"ext":{"b":98765432109876543210,"c":1.10}}`)
	require.Equal(t, 200, w.Code, w.Body)
	for _, kept := range []string{`"a":12345678901234567890`, `"b":98765432109876543210`, `"c":1.10`} {
		require.Contains(t, w.Body.String(), kept)
	}
}

// TestChannels_CreatedElsewhereFirst: another starter has stored a channel of the code that this one does not know yet.
func TestChannels_CreatedElsewhereFirst(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	changed := o.store.changed
	o.store.changed = func(id string, text []byte, revision uint64) {
		other := strings.Replace(string(text), id, "of-another-starter", 1)
		changed("of-another-starter", []byte(other), revision-1)
		changed(id, text, revision)
	}
	o.store.revision = 10
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public"}`)
	require.Equal(t, http.StatusConflict, w.Code, w.Body)
	require.Empty(t, o.store.text, "it is removed")
}
