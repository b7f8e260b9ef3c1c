package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/step"
)

// runs is a Temporal client whose Updates return configured results.
type runs struct {
	updates []client.UpdateWorkflowOptions
	err     error // of the request
	ended   error // of the Update

	started   []step.Request
	ids       []string
	timeouts  []time.Duration // of runs
	cancelled []string
	script    run
}

func (r *runs) UpdateWorkflow(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	r.updates = append(r.updates, o)
	return handle{client.WorkflowUpdateHandle(nil), r.ended}, r.err
}

type handle struct {
	client.WorkflowUpdateHandle
	ended error
}

func (h handle) Get(context.Context, any) error { return h.ended }

func (d *testGateway) token(expires time.Time) string {
	return d.signer.Sign(signedurl.Payload{Owner: "conversation/default/shop/c-1", Item: "e1", Expires: expires})
}

func TestCallback_ReachesItsStep(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	path := "/callbacks/" + d.token(time.Now().Add(time.Minute))
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/cloudevents+json", ""} {
		w := d.post(path, contentType, strings.NewReader(` {"messages":["done"]} `))
		require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		require.JSONEq(t, `{"accepted":true}`, w.Body.String())
		require.NotEmpty(t, w.Header().Get("X-Request-Id"))
	}
	d.post(path, "", strings.NewReader(`{"messages":["other"]}`))
	first, again, other := d.runs.updates[0], d.runs.updates[1], d.runs.updates[4]
	require.Equal(t, "conversation/default/shop/c-1", first.WorkflowID)
	require.Equal(t, step.UpdateCallback, first.UpdateName)
	require.Equal(t, client.WorkflowUpdateStageCompleted, first.WaitForStage)
	require.Equal(t, []any{step.Callback{EventID: "e1", Body: json.RawMessage(`{"messages":["done"]}`)}}, first.Args)
	require.Equal(t, first.UpdateID, again.UpdateID, "the same body is one callback")
	require.NotEqual(t, first.UpdateID, other.UpdateID)
	require.NotContains(t, d.log.String(), path, "the address is a secret")
	require.Contains(t, d.log.String(), `route="POST /callbacks/{token}"`)
}

// TestCallback_EmptyBody: an empty body is an answer without a message, as it is of the endpoint's response.
func TestCallback_EmptyBody(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	path := "/callbacks/" + d.token(time.Now().Add(time.Minute))
	for _, body := range []string{"", " \r\n\t", "\uFEFF", "\uFEFF \n"} {
		for _, contentType := range []string{"", "application/json", "application/x-www-form-urlencoded"} {
			w := d.post(path, contentType, strings.NewReader(body))
			require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		}
	}
	for _, u := range d.runs.updates {
		require.Equal(t, []any{step.Callback{EventID: "e1"}}, u.Args)
		require.Equal(t, d.runs.updates[0].UpdateID, u.UpdateID)
	}
}

// TestCallback_AnyEventID: an event id is any text of its engine, an Update's id is not.
func TestCallback_AnyEventID(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	ids := map[string]string{}
	for _, event := range []string{"e1", "e\u00fc 1", "e.1", strings.Repeat("x", 300), "\u8ba2\u5355/1"} {
		token := d.signer.Sign(signedurl.Payload{
			Owner: "conversation/default/shop/c-1", Item: event, Expires: time.Now().Add(time.Minute),
		})
		w := d.post("/callbacks/"+token, "", strings.NewReader(`{"messages":["done"]}`))
		require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		sent := d.runs.updates[len(d.runs.updates)-1]
		require.Equal(t, event, sent.Args[0].(step.Callback).EventID, "the workflow compares the id as the engine spells it")
		require.Regexp(t, `^callback/[!-~]{1,256}/[0-9a-f]{16}$`, sent.UpdateID)
		require.NotContains(t, ids, sent.UpdateID)
		ids[sent.UpdateID] = event
	}
	require.Contains(t, ids, "callback/e1/"+hex.EncodeToString(sumOf(`{"messages":["done"]}`)), "a plain id stays as it is")
}

func sumOf(body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return sum[:8]
}

// TestCallback_UnsettledKeys: an address that another process can have made is not unknown for good.
func TestCallback_UnsettledKeys(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	token := d.token(time.Now().Add(time.Minute))
	require.NoError(t, d.signer.Use([][]byte{[]byte(strings.Repeat("k", signedurl.KeySize))}))
	for unsettled, status := range map[bool]int{true: 503, false: 404} {
		d.signer.OnUnknown(func() bool { return !unsettled })
		d.Links.Signer.OnUnknown(func() bool { return !unsettled })
		w := d.post("/callbacks/"+token, "", strings.NewReader(`{"messages":["done"]}`))
		require.Equal(t, status, w.Code, w.Body)
		require.Equal(t, unsettled, w.Header().Get("Retry-After") != "")
		require.Equal(t, status, d.file("GET", "/public/files/"+token, "", "", "").Code)
	}
}

func TestCallback_ErrorResponses(t *testing.T) {
	t.Parallel()
	refusal := func(kind string) error { return temporal.NewApplicationError("of the step", kind) }
	const good = `{"messages":["done"]}`
	for name, c := range map[string]struct {
		token, contentType, body string // "" = a good one
		err, ended               error
		status                   int
		kind                     fault.Kind
		detail                   string
	}{
		"no such token":     {token: "x", status: 404, detail: "no such callback address"},
		"expired":           {token: "expired", status: 410, kind: fault.Expired, detail: "do not send the callback again"},
		"no JSON by name":   {contentType: "text/plain", status: 415, kind: fault.Encoding, detail: "application/json"},
		"no media type":     {contentType: ";", status: 415, kind: fault.Encoding, detail: "application/json"},
		"no JSON":           {body: "<html>", status: 400, kind: fault.BadResponse, detail: "at byte 0"},
		"not UTF-8":         {body: "{\"a\":\"\xff\"}", status: 400, kind: fault.BadResponse, detail: "at byte 6"},
		"too deep":          {body: strings.Repeat("[", 20_000), status: 400, kind: fault.BadResponse, detail: "deeper than"},
		"too large":         {body: `"` + strings.Repeat("a", callbackMax) + `"`, status: 413, kind: fault.TooLarge, detail: "262144 bytes"},
		"no step waits":     {ended: refusal(step.RejectedCallback), status: 410, kind: fault.Gone, detail: "of the step"},
		"refused at once":   {err: refusal(step.RejectedCallback), status: 410, kind: fault.Gone, detail: "of the step"},
		"too early":         {err: refusal(step.RejectedEarly), status: 503, kind: fault.Internal, detail: "of the step"},
		"no answer":         {ended: refusal(step.RejectedAnswer), status: 422, kind: fault.BadResponse, detail: "of the step"},
		"the run has ended": {err: serviceerror.NewNotFound("gone"), status: 410, kind: fault.Gone, detail: "the step has ended"},
		"Temporal is away":  {err: serviceerror.NewUnavailable("away"), status: 503, kind: fault.Internal, detail: "try again"},
		"the run was lost":  {ended: errors.New("AcceptedUpdateCompletedWorkflow"), status: 503, kind: fault.Internal, detail: "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.err, d.runs.ended = c.err, c.ended
			token := d.token(time.Now().Add(time.Minute))
			switch c.token {
			case "expired":
				token = d.token(time.Now().Add(-signedurl.ClockMargin - time.Minute))
			case "x":
				token = c.token
			}
			if c.body == "" {
				c.body = good
			}
			w := d.post("/callbacks/"+token, c.contentType, strings.NewReader(c.body))
			require.Equal(t, c.status, w.Code, w.Body)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			var p httpapi.Problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			require.Equal(t, c.status, p.Status)
			require.Equal(t, c.kind, p.Kind)
			require.Contains(t, p.Detail, c.detail)
			if c.status == 503 {
				require.Equal(t, "1", w.Header().Get("Retry-After"))
			}
		})
	}
}

// TestCallback_ClockAheadOfTemporal: the deadline in an address is by Temporal's clock. When it has passed by the gateway's
// clock, the run decides, and what the run does not take is too late.
func TestCallback_ClockAheadOfTemporal(t *testing.T) {
	t.Parallel()
	rejected := func(kind string) error { return temporal.NewApplicationError("of the step", kind) }
	for name, c := range map[string]struct {
		ended  error
		ahead  time.Duration
		status int
		kind   fault.Kind
	}{
		"run takes it":       {ahead: 40 * time.Minute, status: 202},
		"step has ended":     {ahead: time.Minute, ended: rejected(step.RejectedCallback), status: 410, kind: fault.Expired},
		"run has ended":      {ahead: time.Minute, ended: serviceerror.NewNotFound("gone"), status: 410, kind: fault.Expired},
		"later run":          {ahead: time.Minute, ended: rejected(step.RejectedEarly), status: 410, kind: fault.Expired},
		"not readable":       {ahead: time.Minute, ended: rejected(step.RejectedAnswer), status: 422, kind: fault.BadResponse},
		"Temporal is away":   {ahead: time.Minute, ended: serviceerror.NewUnavailable("away"), status: 503, kind: fault.Internal},
		"beyond all margins": {ahead: signedurl.ClockMargin + time.Minute, status: 410, kind: fault.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.runs.ended = c.ended
			w := d.post("/callbacks/"+d.token(time.Now().Add(-c.ahead)), "", strings.NewReader(`{"messages":["done"]}`))
			require.Equal(t, c.ahead > signedurl.ClockMargin, len(d.runs.updates) == 0)
			if c.status == http.StatusAccepted {
				require.Equal(t, c.status, w.Code, w.Body)
				return
			}
			requireProblem(t, w, c.status, c.kind, "")
		})
	}
}

func TestCallback_CompressedBodyRejected(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	r := httptest.NewRequest(http.MethodPost, "/callbacks/"+d.token(time.Now().Add(time.Minute)), strings.NewReader("{}"))
	r.Header.Set("Content-Encoding", "gzip")
	w := httptest.NewRecorder()
	d.routes().ServeHTTP(w, r)
	require.Equal(t, http.StatusUnsupportedMediaType, w.Code)
	require.Empty(t, d.runs.updates)

	for _, identity := range []string{"identity", "Identity"} {
		r := httptest.NewRequest(http.MethodPost, "/callbacks/"+d.token(time.Now().Add(time.Minute)), strings.NewReader("{}"))
		r.Header.Set("Content-Encoding", identity)
		w := httptest.NewRecorder()
		d.routes().ServeHTTP(w, r)
		require.Equal(t, http.StatusAccepted, w.Code, "%s: %s", identity, w.Body)
	}
}

func TestCallback_OnlyPostAllowed(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	w := httptest.NewRecorder()
	d.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/callbacks/x", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, http.MethodPost, w.Header().Get("Allow"))
}

// TestCallback_BodyThatEndsEarly hangs up in the middle of a body, on a real connection.
func TestCallback_BodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	s, err := Start("127.0.0.1:0", d.Options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "POST /callbacks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{",
		d.token(time.Now().Add(time.Minute)))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.NoError(t, answer.Body.Close())
	require.NoError(t, conn.Close())
	require.Empty(t, d.runs.updates)
}
