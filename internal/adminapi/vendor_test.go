package adminapi

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdmin_IDKept(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51", "7", "1234567-1b2c-4d3e-8f90-0123456789ab", "point of sale/7", "a.b.", "кана́л",
	} {
		o := newOffice(t)
		body, err := json.Marshal(map[string]any{"bot": "shop2", "code": "late", "type": "public", "id": id})
		require.NoError(t, err)
		w := o.ask("POST", "/admin/v1/channels", string(body))
		require.Equal(t, 201, w.Code, w.Body)
		require.Equal(t, id, decoded(t, w)["channel"].(map[string]any)["id"])
		path := w.Header().Get("Location")
		require.Equal(t, "/admin/v1/channels/"+url.PathEscape(id), path)
		require.Equal(t, id, decoded(t, o.ask("GET", path, ""))["id"])
		w = o.ask("POST", "/admin/v1/channels", string(body))
		requireProblem(t, w, 422, "config", "already")
		body, err = json.Marshal(map[string]any{"bot": "shop2", "code": "later", "type": "public", "id": id})
		require.NoError(t, err)
		requireProblem(t, o.ask("POST", "/admin/v1/channels", string(body)), 422, "config", "$.id: a channel has this id already")
		require.Equal(t, 200, o.ask("PATCH", path, `{"opts":{"title":"x"}}`).Code)
		require.Equal(t, 204, o.ask("DELETE", path, "").Code)
		require.Equal(t, 404, o.ask("GET", path, "").Code)
		require.Equal(t, 201, o.ask("POST", "/admin/v1/channels", string(body)).Code, "the id is free again")
	}
}

// The entity of the vendor's REST API with every member: what is empty or null is absent.
const vendorsEntity = `{"bot":"shop2","id":null,"code":"crm","type":"public","token_local":"","token_remote":"","token_remote2":null,
	"ip_mask":null,"url":"","recv_svcscriptcode":"hook","send_svcscriptcode":"","recv_svcscriptcode_ws":null,"send_svcscriptcode_ws":"",
	"opts":{"title":"","comment":null,"allow_files_api":false,"filter_capabilities":"*","issync":null,"recv_timeout":0,"roles":null,
	"userid":"1234567-1b2c-4d3e-8f90-0123456789ab"},"ext":{"ct":null,"lwt":"","note":null,"empty":""}}`

func TestAdmin_VendorsEntityTakenAndShownInFull(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	w := o.ask("POST", "/admin/v1/channels", vendorsEntity)
	require.Equal(t, 201, w.Code, w.Body)
	require.Len(t, decoded(t, w)["token_local"], 32, "an empty token_local is absent: a token is made")
	id := decoded(t, w)["channel"].(map[string]any)["id"].(string)
	require.Len(t, id, 36)
	ch := decoded(t, o.ask("GET", "/admin/v1/channels/lookup?bot=shop2&code=crm", ""))
	ext := ch["ext"].(map[string]any)
	require.NotEmpty(t, ext["ct"])
	require.NotEmpty(t, ext["lwt"])
	require.NotContains(t, ext, "note")
	require.Contains(t, ext, "empty")
	delete(ch, "ext")
	require.Equal(t, map[string]any{
		"tenant": "default", "bot": "shop2", "origin": "admin", "id": id, "code": "crm", "type": "public", "token_local": "",
		"token_remote": "", "token_remote2": "", "ip_mask": []any{}, "url": "", "recv_svcscriptcode": "hook",
		"send_svcscriptcode": "", "recv_svcscriptcode_ws": "", "send_svcscriptcode_ws": "",
		"opts": map[string]any{
			"title": "", "comment": "", "allow_files_api": false, "filter_capabilities": "*", "issync": false, "recv_timeout": 0.0,
			"roles": []any{}, "userid": "1234567-1b2c-4d3e-8f90-0123456789ab",
		},
	}, ch)

	whole := o.ask("GET", "/admin/v1/channels/"+id, "").Body.String()
	w = o.ask("PATCH", "/admin/v1/channels/"+id, whole)
	require.Equal(t, 200, w.Code, "what was read can be written back: %s", w.Body)
	again := decoded(t, o.ask("GET", "/admin/v1/channels/"+id, ""))
	require.Equal(t, ext["ct"], again["ext"].(map[string]any)["ct"])
	require.NotEqual(t, ext["lwt"], again["ext"].(map[string]any)["lwt"])
}

func TestAdmin_ListsChannelsOfBotFiles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	require.Equal(t, 201, o.ask("POST", "/admin/v1/channels", `{"bot":"shop2","code":"late","type":"public"}`).Code)
	origins := map[any]any{}
	for _, ch := range decoded(t, o.ask("GET", "/admin/v1/channels?tenant=default&bot=shop2", ""))["channels"].([]any) {
		ch := ch.(map[string]any)
		origins[ch["code"]] = ch["origin"]
		require.NotEmpty(t, ch["ext"].(map[string]any)["ct"], ch["code"])
		require.NotEmpty(t, ch["ext"].(map[string]any)["lwt"], ch["code"])
	}
	require.Equal(t, "admin", origins["late"])
	require.Equal(t, "bot_file", origins["sync"])
	ofFile := decoded(t, o.ask("GET", "/admin/v1/channels?origin=bot_file&code=sync", ""))["channels"].([]any)[0].(map[string]any)
	require.NotEmpty(t, ofFile["token_local"], "the name of its secret")
	path := "/admin/v1/channels/" + ofFile["id"].(string)
	require.Equal(t, ofFile, decoded(t, o.ask("GET", path, "")))
	requireProblem(t, o.ask("PATCH", path, `{"url":""}`), 409, "", "bot file")
	requireProblem(t, o.ask("DELETE", path, ""), 409, "", "bot file")
}
