package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// shareRoutes are the requests that take a place of their tenant: method, path, token, content type.
func shareRoutes(t *testing.T, d *testGateway) map[string][3]string {
	t.Helper()
	callback := d.signer.Sign(signedurl.Payload{Owner: "conversation/default/shop/c1", Item: "e1", Expires: time.Now().Add(time.Hour)})
	return map[string][3]string{
		"/events":                {tokenOfDefault, mediaStructured},
		"/exec":                  {tokenOfHook, "text/plain"},
		"/files":                 {tokenOfFiles, "text/plain"},
		"/callbacks/" + callback: {"", mediaJSON},
		"/conversational/twoway/v2/accounts/acc-1/adapters/agents": {"", mediaJSON},
	}
}

// send sends a request whose body ends when the test lets it.
func send(ctx context.Context, base, path string, with [3]string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", with[1])
	r.Header.Set("X-Cm-Producttoken", "new-token")
	if with[0] != "" {
		r.Header.Set("Authorization", "Bearer "+with[0])
	}
	return http.DefaultClient.Do(r)
}

// TestShare_RequestsOfATenant: requests whose bodies do not come take the places of their tenant, on every route, and
// those of another tenant are served.
func TestShare_RequestsOfATenant(t *testing.T) {
	t.Parallel()
	for route := range shareRoutes(t, newTestGateway(t)) {
		name, _, _ := strings.Cut(route[1:], "/")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.TenantRequests = 1
			server := httptest.NewServer(d.routes())
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			routes := shareRoutes(t, d)
			var held [3]string
			path := ""
			for p, with := range routes {
				if strings.HasPrefix(p[1:], name) {
					path, held = p, with
				}
			}
			body, finish := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				response, err := send(ctx, server.URL, path, held, body)
				if err == nil {
					err = response.Body.Close()
				}
				ended <- err
			}()
			_, err := finish.Write([]byte("{")) // the handler reads: it has its place
			require.NoError(t, err)
			event := [3]string{tokenOfDefault, mediaStructured}
			require.Eventually(t, func() bool {
				response, err := send(ctx, server.URL, "/events", event, strings.NewReader("{}"))
				if err != nil {
					return false
				}
				defer func() { _ = response.Body.Close() }()
				return response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "1"
			}, soon, 10*time.Millisecond)
			response, err := send(ctx, server.URL, "/events", [3]string{tokenOfAcme, mediaStructured}, strings.NewReader("{}"))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusBadRequest, response.StatusCode, "another tenant is served")
			require.NoError(t, finish.Close())
			require.NoError(t, <-ended)
			response, err = send(ctx, server.URL, "/events", event, strings.NewReader("{}"))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusBadRequest, response.StatusCode, "the place is free again")
		})
	}
}

// postSized posts an event of a size that is not an event, and returns the status.
func postSized(ctx context.Context, base string, body io.Reader, size int64) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/events", body)
	if err != nil {
		return 0, err
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", mediaStructured)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// TestShare_LargeBodies: a large body takes as many places of its tenant as its size asks for, or all of them.
func TestShare_LargeBodies(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	large := strings.Repeat(" ", httpapi.BodyMax)
	for places, others := range map[int]bool{16: true, 1: false} { // of the tenant; whether a small request has one beside
		d := newTestGateway(t)
		d.TenantRequests = places
		server := httptest.NewServer(d.routes())
		t.Cleanup(server.Close)
		body, finish := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := postSized(ctx, server.URL, body, httpapi.BodyMax)
			ended <- err
		}()
		_, err := finish.Write([]byte(large[1:]))
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			status, err := postSized(ctx, server.URL, strings.NewReader(large), httpapi.BodyMax)
			return err == nil && status == http.StatusTooManyRequests
		}, soon, 10*time.Millisecond)
		status, err := postSized(ctx, server.URL, strings.NewReader("{}"), 2)
		require.NoError(t, err)
		require.Equal(t, others, status == http.StatusBadRequest, places)
		_, err = finish.Write([]byte(large[:1]))
		require.NoError(t, err)
		require.NoError(t, finish.Close())
		require.NoError(t, <-ended)
		status, err = postSized(ctx, server.URL, strings.NewReader(large), httpapi.BodyMax)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, status, "the places are free again")
	}
}

// full is an event stream whose half one tenant fills.
type full struct {
	tenant string
	err    error
}

func (f full) Exceeded(_ context.Context, tenant string) (bool, error) {
	return tenant == f.tenant, f.err
}

func (full) Writing(string, int) func(bool) { return func(bool) {} }

// writtenEvents are shares that record what is written.
type writtenEvents struct {
	full

	stored []string
}

func (w *writtenEvents) Writing(tenant string, bytes int) func(bool) {
	return func(stored bool) { w.stored = append(w.stored, fmt.Sprint(tenant, " ", bytes, " ", stored)) }
}

// TestShare_CountsWhatIsPosted: an event that is stored counts at once, and a duplicate does not.
func TestShare_CountsWhatIsPosted(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	written := &writtenEvents{}
	d.EventShares = written
	size := fmt.Sprint(len(goodEvent))
	for range 2 {
		require.Equal(t, http.StatusAccepted, d.event(tokenOfDefault, mediaStructured, goodEvent).Code)
	}
	require.Equal(t, []string{"default " + size + " true", "default " + size + " false"}, written.stored)
}

func TestShare_EventsOfATenant(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.EventShares = full{tenant: "default"}
	subject := "c1"
	post := func(token, bot string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(`{"specversion":"1.0","id":"e1","source":"/t",
			"type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z","subject":"`+subject+`","bot":"`+bot+`","data":{"step":"S"}}`))
		r.Header.Set("Content-Type", mediaStructured)
		r.Header.Set("Authorization", "Bearer "+token)
		return d.do(r)
	}
	w := post(tokenOfDefault, "shop")
	requireProblem(t, w, http.StatusTooManyRequests, fault.QueueFull, "half of the event stream")
	require.Equal(t, "10", w.Header().Get("Retry-After"))
	require.Equal(t, http.StatusAccepted, post(tokenOfAcme, "other").Code)
	require.Len(t, d.bus.events, 1)
	scraped := httptest.NewRecorder()
	d.Metrics.Handler().ServeHTTP(scraped, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, scraped.Body.String(), `hookturn_gateway_share_exceeded_total{share="events",tenant="default"} 1`)
	d.EventShares = full{err: errors.New("away")}
	require.Equal(t, http.StatusAccepted, post(tokenOfDefault, "shop").Code, "the stream decides")
	d.EventShares = full{tenant: "default"}
	require.Equal(t, http.StatusAccepted, post(tokenOfDefault, "shop").Code, "it is stored, and a duplicate")
	subject = "c2"
	require.Equal(t, http.StatusTooManyRequests, post(tokenOfDefault, "shop").Code, "a new one")

	subject, d.bus.handled = "c1", true
	requireProblem(t, post(tokenOfDefault, "shop"), http.StatusTooManyRequests, fault.QueueFull, "half of the event stream")
	require.Len(t, d.bus.events, 2, "it would be stored again")
	require.Len(t, d.Posted, 2, "the stream knows its id")
	d.EventShares = full{}
	require.Equal(t, http.StatusAccepted, post(tokenOfDefault, "shop").Code)
	require.Len(t, d.bus.events, 3)
}

// shelfOnHold keeps files in memory, and opens one when the test lets it.
type shelfOnHold struct {
	*shelf

	began chan struct{}
	let   chan struct{}
}

func (s *shelfOnHold) Get(ctx context.Context, owner schemas.BotID, id string) (store.File, io.ReadCloser, error) {
	select {
	case s.began <- struct{}{}:
	default:
	}
	select {
	case <-s.let:
	case <-ctx.Done():
	}
	return s.shelf.Get(ctx, owner, id)
}

// TestShare_PublicFiles: downloads by public links take places of the tenant's share for them, and leave those of its other
// requests.
func TestShare_PublicFiles(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.TenantRequests = 1
	w := d.file(http.MethodPost, "/files?name=a.txt", tokenOfFiles, "text/plain", "a")
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	link, _ := d.Links.Make(shop2Bot, decoded(t, w)["id"].(string), time.Now())
	path := link[len("https://hooks.example"):]
	held := &shelfOnHold{shelf: d.Files.(*shelf), began: make(chan struct{}, 1), let: make(chan struct{})}
	d.Files = held
	routes := d.routes()
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	first := make(chan *httptest.ResponseRecorder, 1)
	go func() { first <- get() }()
	receive(t, held.began)
	requireProblem(t, get(), http.StatusTooManyRequests, fault.RateLimited, "1 requests open")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/files/x", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfFiles)
	w = httptest.NewRecorder()
	routes.ServeHTTP(w, r)
	require.Equal(t, http.StatusNotFound, w.Code, "the tenant's own requests are served")
	close(held.let)
	require.Equal(t, http.StatusOK, receive(t, first).Code)
	require.Equal(t, http.StatusOK, get().Code, "the place is free again")
}

// TestShare_StreamsOfReplies: a stream has its place before NATS is asked for the position.
func TestShare_StreamsOfReplies(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	asked := &position{}
	d.Engines.Replies = asked
	for range ReplyStreamsMax {
		_, err := d.Engines.streams.take("default", ReplyStreamsMax)
		require.NoError(t, err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/replies", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfDefault)
	require.Equal(t, http.StatusTooManyRequests, d.do(r).Code)
	require.Zero(t, asked.times)
}

// position counts how often the position of the reply stream is asked for.
type position struct {
	silent

	times int
}

func (p *position) Bounds(context.Context) (first, last uint64, err error) {
	p.times++
	return 1, 0, nil
}
