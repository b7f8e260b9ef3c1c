package adminapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// shelf keeps audit events in memory.
type shelf struct {
	events []schemas.AuditEvent
	err    error
}

func (s *shelf) Write(_ context.Context, event schemas.AuditEvent) error {
	if s.err == nil {
		s.events = append(s.events, event)
	}
	return s.err
}

func (s *shelf) taken() (lines []string) {
	for _, e := range s.events {
		lines = append(lines, e.Source+" "+string(e.Data.Action)+" "+string(e.Data.Result)+" by "+e.Data.Actor.Name+" "+e.Data.Actor.Role)
	}
	s.events = nil
	return lines
}

func TestAudit_ChangesOfChannels(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	both := func(action, result string) []string {
		return []string{
			"/hookturn/default/shop2 " + action + " requested by operator owner",
			"/hookturn/default/shop2 " + action + " " + result + " by operator owner",
		}
	}
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public","recv_svcscriptcode":"hook"}`)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	id := decoded(t, w)["channel"].(map[string]any)["id"].(string)
	require.Equal(t, "admin_api", o.audited.events[0].Data.Actor.Via)
	require.NotEmpty(t, o.audited.events[0].Data.Actor.From)
	require.Empty(t, o.audited.events[0].Data.Objects)
	require.Equal(t, []string{id}, o.audited.events[1].Data.Objects, "the channel that was created")
	require.Equal(t, both("channel_create", "done"), o.audited.taken())
	require.Equal(t, http.StatusOK, o.ask("PATCH", "/admin/v1/channels/"+id, `{"ext":{"a":1}}`).Code)
	require.Equal(t, both("channel_change", "done"), o.audited.taken())
	require.Equal(t, http.StatusOK, o.ask("PATCH", "/admin/v1/channels/"+id, `{"rotate_token":true}`).Code)
	require.Equal(t, both("channel_token", "done"), o.audited.taken())
	require.Equal(t, http.StatusBadRequest, o.ask("PATCH", "/admin/v1/channels/"+id, `{"rotate_token":"true"}`).Code)
	require.Empty(t, o.audited.taken())
	require.Equal(t, http.StatusUnprocessableEntity, o.ask("PATCH", "/admin/v1/channels/"+id, `{"code":"other"}`).Code)
	require.Equal(t, both("channel_change", "failed"), o.audited.taken())
	require.Equal(t, http.StatusOK, o.ask("GET", "/admin/v1/channels/"+id, "").Code)
	require.Empty(t, o.audited.taken(), "reading changes nothing")
	require.Equal(t, http.StatusNoContent, o.ask("DELETE", "/admin/v1/channels/"+id, "").Code)
	require.Equal(t, both("channel_delete", "done"), o.audited.taken())
}

func TestAudit_NothingChangesWithoutTheEvent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public","recv_svcscriptcode":"hook"}`)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	id := decoded(t, w)["channel"].(map[string]any)["id"].(string)
	before := string(o.store.text[id])
	o.audited.err = errors.New("away")
	for _, request := range [][]string{
		{"POST", "/admin/v1/channels", `{"bot":"shop2","code":"later","type":"public","recv_svcscriptcode":"hook"}`},
		{"PATCH", "/admin/v1/channels/" + id, `{"ext":{"a":1}}`},
		{"DELETE", "/admin/v1/channels/" + id, ""},
	} {
		w := o.ask(request[0], request[1], request[2])
		require.Equal(t, http.StatusInternalServerError, w.Code, w.Body)
		require.Contains(t, w.Body.String(), "the audit event is not stored, nothing was changed")
	}
	require.Len(t, o.store.text, 1)
	require.Equal(t, before, string(o.store.text[id]))
}

// TestOperators_RolesByAction asks for each action with a token of each role.
func TestOperators_RolesByAction(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.channels.Administration.Licences = nil
	reads := newReads(&shelf{})
	t.Cleanup(func() { _ = reads.Close(context.Background()) })
	api := API{
		Log: discardLogger, Operators: operatorsOf(t, everyRole), Channels: o.channels,
		Codec: &Codec{Payloads: newPayloads(t), Reads: reads},
	}.Handler()
	code := 0
	ask := func(token, method, path, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	for name, c := range map[string]struct {
		method, path, body string
		roles              string // v, o and w for viewer, operator and owner
	}{
		"list":    {"GET", "/admin/v1/channels", "", "vow"},
		"create":  {"POST", "/admin/v1/channels", `{"bot":"shop2","code":"new","type":"public","recv_svcscriptcode":"hook"}`, "ow"},
		"change":  {"PATCH", "/admin/v1/channels/ID", `{"ext":{"a":1}}`, "ow"},
		"token":   {"PATCH", "/admin/v1/channels/ID", `{"rotate_token":true}`, "w"},
		"secret":  {"PATCH", "/admin/v1/channels/ID", `{"token_local":"hook"}`, "w"},
		"as read": {"PATCH", "/admin/v1/channels/ID", `{"token_local":"","ext":{"a":1}}`, "ow"},
		"remote":  {"PATCH", "/admin/v1/channels/ID", `{"token_remote":"sync"}`, "w"},
		"aim":     {"PATCH", "/admin/v1/channels/ID", `{"url":"https://x.example","token_remote2":"sync"}`, "w"},
		"address": {"PATCH", "/admin/v1/channels/ID", `{"url":"https://x.example"}`, "ow"},
		"sender": {"POST", "/admin/v1/channels",
			`{"bot":"shop2","code":"new","type":"public","recv_svcscriptcode":"hook","url":"https://x.example","token_remote":"sync"}`, "w"},
		"without": {"POST", "/admin/v1/channels",
			`{"bot":"shop2","code":"new","type":"public","recv_svcscriptcode":"hook","url":"https://x.example","token_remote":""}`, "ow"},
		"delete":  {"DELETE", "/admin/v1/channels/ID", "", "w"},
		"decrypt": {"POST", "/codec/decode", `{"payloads":[]}`, "w"},
		"encrypt": {"POST", "/codec/encode", `{"payloads":[]}`, "w"},
		"page":    {"GET", "/codec/", "", "w"},
	} {
		for token, letter := range map[string]string{tokenOfViewer: "v", tokenOfDoer: "o", tokenOfOwner: "w"} {
			code++
			w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"c`+strings.Repeat("x", code)+`","type":"public","recv_svcscriptcode":"hook"}`)
			require.Equal(t, http.StatusCreated, w.Code, w.Body)
			id := decoded(t, w)["channel"].(map[string]any)["id"].(string)
			status := ask(token, c.method, strings.Replace(c.path, "ID", id, 1), c.body)
			require.Equal(t, !strings.Contains(c.roles, letter), status == http.StatusForbidden, "%s with %s: %d", name, token, status)
		}
	}
}

// TestOperators_NoLesserRoleAimsASecret: who may not read a secret may not choose where it is sent either.
func TestOperators_NoLesserRoleAimsASecret(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	api := API{Log: discardLogger, Operators: operatorsOf(t, everyRole), Channels: o.channels}.Handler()
	send := func(method, path, token, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	patch := func(token, body string) *httptest.ResponseRecorder {
		return send(http.MethodPatch, "/admin/v1/channels/sender", token, body)
	}
	w := o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","id":"sender","code":"sender","type":"public","recv_svcscriptcode":"hook",
		"url":"https://right.example/a","token_remote":"sync"}`)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	for _, body := range []string{
		`{"url":"https://wrong.example"}`, `{"url":"https://right.example/b"}`, `{"url":null}`, `{"token_remote":"hook"}`,
		`{"token_remote2":"hook"}`, `{"url":"https://wrong.example","token_remote":"hook"}`,
	} {
		w = patch(tokenOfDoer, body)
		require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", body, w.Body)
		require.Contains(t, w.Body.String(), "owner")
	}
	require.Equal(t, http.StatusOK, patch(tokenOfDoer, `{"ext":{"a":1},"token_remote":"sync","url":"https://right.example/a"}`).Code)
	require.Equal(t, http.StatusOK, patch(tokenOfDoer, `{"token_remote":null,"url":"https://other.example"}`).Code, "nothing is sent any more")
	require.Equal(t, http.StatusForbidden, patch(tokenOfDoer, `{"token_remote":"sync"}`).Code)
	require.Equal(t, http.StatusOK, patch(tokenOfOwner, `{"token_remote":"sync"}`).Code)
	before := string(o.store.text["sender"])
	// encoding/json takes these names for those of the channel, and "" for their value.
	for _, other := range []string{"Token_Remote", `to\u212Aen_remote`, "TOKEN_REMOTE2", "Url"} {
		w = send(http.MethodPost, "/admin/v1/channels", tokenOfDoer, `{"bot":"shop2","code":"second","type":"public",
			"recv_svcscriptcode":"hook","url":"https://wrong.example","token_remote":"sync","`+other+`":""}`)
		require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", other, w.Body)
		for _, token := range []string{tokenOfDoer, tokenOfOwner} {
			w = patch(token, `{"url":"https://wrong.example","`+other+`":""}`)
			require.NotEqual(t, http.StatusOK, w.Code, "%s: %s", other, w.Body)
		}
	}
	for _, other := range []string{"Token_Local", `to\u212Aen_local`} {
		w = patch(tokenOfDoer, `{"token_local":"hook","`+other+`":""}`)
		require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", other, w.Body)
	}
	require.Equal(t, before, string(o.store.text["sender"]))

	w = o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","Bot":"none","code":"second","type":"public","recv_svcscriptcode":"hook"}`)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	require.Contains(t, w.Body.String(), "unknown key", "the bot is shop2")
}
