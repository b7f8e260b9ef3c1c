package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/internal/freeport"
	"github.com/hookturn/hookturn/internal/leaktest"
)

const secret = "s3cret"

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

func start(t *testing.T, opts endpoint.Options) *endpoint.Endpoint {
	t.Helper()
	e := endpoint.New(opts)
	_, err := e.Start()
	require.NoError(t, err)
	t.Cleanup(e.Stop)
	return e
}

// request is a POST of the platform; change alters it before it is sent.
func request(t *testing.T, url, body string, change ...func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(endpoint.SignatureHeader, endpoint.Sign(secret, []byte(body)))
	for _, change := range change {
		change(req)
	}
	return req
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func do(req *http.Request) (*http.Response, []byte, error) {
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func send(t *testing.T, req *http.Request) (*http.Response, endpoint.Answer) {
	t.Helper()
	resp, body, err := do(req)
	require.NoError(t, err)
	var answer endpoint.Answer
	if resp.Header.Get("Content-Type") == "application/json" && len(body) > 0 {
		require.NoError(t, json.Unmarshal(body, &answer))
	}
	return resp, answer
}

func order(product string) string {
	return `{"step":"ORDER_STATUS","user":{"user_id":"91"},"conversation_no":3,"entities":{"product_name":` +
		`[{"detection":"message","original_text":"x","entity_value":` + product + `}]}}`
}

func TestSignature_Vectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ body, secret, want string }{
		{"", "test", "sha1=fc85087452696e5bcbe3b7a71fde00e320af2cca"},
		{`{"user":{"full_name":"Zoë"},"entities":{}}`, "test", "sha1=807696c37f7c47ad6f0525457b356f0e0b87f878"},
		{`{"a": 1}`, "clé", "sha1=3cafe02634121e20b5bef776b28481ba82bf22f9"},
		{`{"a":1}`, "clé", "sha1=e2c506403e3ea5591cff533eee077d1cdf4e8f58"},
	} {
		require.Equal(t, v.want, endpoint.Sign(v.secret, []byte(v.body)))
		signed := http.Header{endpoint.SignatureHeader: {"sha1=old", v.want}}
		require.True(t, endpoint.Verify(v.secret, []byte(v.body), signed))
		require.False(t, endpoint.Verify(v.secret, []byte(v.body+" "), signed))
		require.False(t, endpoint.Verify(v.secret, []byte(v.body), http.Header{}))
	}
}

func TestEndpoint_OrdersAnswersLikeTheVendorsSample(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{Secret: secret})
	for name, test := range map[string]struct {
		body    string
		status  bool
		text    string
		element string
	}{
		"speaker":          {order(`"speaker"`), true, "speaker is on its way", "CAROUSEL"},
		"powerbank":        {order(`"powerbank"`), true, "powerbank has arrived", "BUTTON"},
		"value in object":  {order(`{"value":"speaker"}`), true, "speaker is on its way", "CAROUSEL"},
		"unknown product":  {order(`"car"`), false, "do not sell", ""},
		"entity is absent": {`{"entities":{}}`, false, "Which product", ""},
		"nothing detected": {`{"entities":{"product_name":[]}}`, false, "Which product", ""},
	} {
		resp, answer := send(t, request(t, e.URL()+"/orders", test.body))
		require.Equal(t, http.StatusOK, resp.StatusCode, name)
		require.Equal(t, test.status, answer.Status, name)
		require.Contains(t, answer.Response[0], test.text, name)
		if test.element != "" {
			var element struct{ Text, Type string }
			require.NoError(t, json.Unmarshal([]byte(answer.Response[1]), &element), name)
			require.Equal(t, test.element, element.Type, name)
			require.NotEmpty(t, element.Text, name)
		}
	}
}

func TestEndpoint_Refusals(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{Secret: secret})
	good := order(`"speaker"`)
	withCharset := header("Content-Type", "application/json; charset=utf-8")
	unknownLength := func(r *http.Request) { r.ContentLength = -1 }
	for name, test := range map[string]struct {
		req    *http.Request
		status int
	}{
		"wrong signature":    {request(t, e.URL()+"/orders", good, header(endpoint.SignatureHeader, "sha1=00")), 401},
		"no signature":       {request(t, e.URL()+"/echo", good, header(endpoint.SignatureHeader, "")), 401},
		"wrong type":         {request(t, e.URL()+"/orders", good, header("Content-Type", "text/plain")), 400},
		"type with charset":  {request(t, e.URL()+"/orders", good, withCharset), 200},
		"no length":          {request(t, e.URL()+"/orders", good, unknownLength), 400},
		"empty":              {request(t, e.URL()+"/orders", ""), 400},
		"no JSON":            {request(t, e.URL()+"/orders", "{"), 400},
		"no entities":        {request(t, e.URL()+"/orders", "{}"), 400},
		"entities no object": {request(t, e.URL()+"/orders", `{"entities":[]}`), 400},
		"entity no list":     {request(t, e.URL()+"/orders", `{"entities":{"product_name":"speaker"}}`), 400},
		"value no text":      {request(t, e.URL()+"/orders", order("7")), 400},
		"no such route":      {request(t, e.URL()+"/nowhere", good), 404},
		"too large":          {request(t, e.URL()+"/echo", strings.Repeat(" ", 1<<20+1)), 413},
	} {
		resp, _ := send(t, test.req)
		require.Equal(t, test.status, resp.StatusCode, name)
	}
}

func TestEndpoint_GetAnswersAPage(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{Secret: secret})
	resp, body, err := do(request(t, e.URL()+"/orders", "", func(r *http.Request) { r.Method = http.MethodGet }))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Content-Type"), "text/html")
	require.Contains(t, string(body), "<html>")
}

func TestEndpoint_Knobs(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{})
	resp, _ := send(t, request(t, e.URL()+"/broken", "{}"))
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	resp, answer := send(t, request(t, e.URL()+"/status/429?retry-after=2", "{}"))
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
	require.Equal(t, "2", resp.Header.Get("Retry-After"))
	require.False(t, answer.Status)
	resp, _ = send(t, request(t, e.URL()+"/status/204", "{}"))
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	resp, _ = send(t, request(t, e.URL()+"/status/abc", "{}"))
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	resp, _ = send(t, request(t, e.URL()+"/slow?ms=1", "{}"))
	require.Equal(t, http.StatusOK, resp.StatusCode)

	_, answer = send(t, request(t, e.URL()+"/echo?a=b", order(`"speaker"`),
		header("webhook-id", "e-1"), header("hookturn-attempt", "2")))
	var echo endpoint.Echo
	require.NoError(t, json.Unmarshal([]byte(answer.Response[0]), &echo))
	require.Equal(t, endpoint.Echo{
		Method: "POST", Path: "/echo", Query: "a=b", WebhookID: "e-1", Attempt: 2,
		Step: "ORDER_STATUS", Conversation: "91/3", Size: len(order(`"speaker"`)),
	}, echo)
}

func TestEndpoint_FlakyFailsTwiceForEachStep(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{})
	for n, id := range []string{"e-1", "e-2", ""} { // Without an id the conversation and the step tell them apart.
		var got []int
		for range 4 {
			resp, _ := send(t, request(t, e.URL()+"/flaky", step(n), header("webhook-id", id)))
			got = append(got, resp.StatusCode)
		}
		require.Equal(t, []int{503, 503, 200, 200}, got)
	}
}

func TestEndpoint_HandleTakesPrecedence(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{Secret: secret})
	e.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "anything" {
			t.Errorf("body %q, error %v", body, err)
		}
		endpoint.Text("mine").Send(w, http.StatusOK)
	})
	e.Handle("/reset", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = conn.Close()
		}
		if err != nil {
			t.Errorf("cutting the connection: %v", err)
		}
	})
	resp, answer := send(t, request(t, e.URL()+"/orders", "anything", header("Content-Type", "text/plain")))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, []string{"mine"}, answer.Response)
	_, _, err := do(request(t, e.URL()+"/reset", "{}"))
	require.Error(t, err)
	require.Eventually(t, func() bool {
		cut := e.Ledger().ByPath("/reset")
		return len(cut) == 1 && !cut[0].Out.IsZero() && cut[0].Status == 0
	}, patience, interval)
}

func TestEndpoint_StopEndsSlowRequestsAndKeepsTheAddress(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprintf("127.0.0.1:%d", freeport.Choose())
	e := start(t, endpoint.Options{Addr: addr})
	failed := make(chan error, 1)
	req := request(t, e.URL()+"/slow?ms=600000", "{}")
	go func() {
		_, _, err := do(req)
		failed <- err
	}()
	require.Eventually(t, func() bool { return e.Ledger().Len() == 1 }, patience, interval)
	_, err := e.Start()
	require.ErrorContains(t, err, "already started")
	e.Stop()
	e.Stop()
	require.Error(t, <-failed)
	_, _, err = do(request(t, e.URL()+"/echo", "{}"))
	require.Error(t, err)

	again, err := e.Start()
	require.NoError(t, err)
	require.Equal(t, addr, again)
	resp, _ := send(t, request(t, e.URL()+"/echo", "{}"))
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestEndpoint_CallsBackUntilTaken: a gateway may answer 503 for as long as Temporal is busy.
func TestEndpoint_CallsBackUntilTaken(t *testing.T) {
	t.Parallel()
	const busy = 21
	gateway, e := start(t, endpoint.Options{}), start(t, endpoint.Options{})
	gateway.Handle("/callback", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		if gateway.Ledger().Len() > busy {
			gateway.Handle("/callback", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		}
	})
	resp, _ := send(t, request(t, e.URL()+"/plain/later", "{}", header("Hookturn-Callback", gateway.URL()+"/callback")))
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	require.Eventually(t, func() bool {
		all := gateway.Ledger().All()
		return len(all) > busy && all[len(all)-1].Status == http.StatusAccepted
	}, patience, interval)
}

func TestEndpoint_CallerThatLeavesIsRecorded(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{})
	ctx, leave := context.WithCancel(t.Context())
	req := request(t, e.URL()+"/slow?ms=600000", "{}").WithContext(ctx)
	failed := make(chan error, 1)
	go func() {
		_, _, err := do(req)
		failed <- err
	}()
	require.Eventually(t, func() bool { return e.Ledger().Len() == 1 }, patience, interval)
	leave()
	require.ErrorIs(t, <-failed, context.Canceled)
	require.Eventually(t, func() bool { return e.Ledger().All()[0].Gone }, patience, interval)
}

func TestSignature_OverTheBytesAsSent(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{Secret: secret})
	body := order(`"speaker"`)
	var spaced bytes.Buffer
	require.NoError(t, json.Indent(&spaced, []byte(body), "", " "))
	resp, _ := send(t, request(t, e.URL()+"/orders", spaced.String()))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, _ = send(t, request(t, e.URL()+"/orders", spaced.String(),
		header(endpoint.SignatureHeader, endpoint.Sign(secret, []byte(body)))))
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}
