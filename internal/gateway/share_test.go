package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/signedurl"
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

// full is an event stream whose half one tenant fills.
type full struct {
	tenant string
	err    error
}

func (f full) Exceeded(_ context.Context, tenant string) (bool, error) {
	return tenant == f.tenant, f.err
}

func TestShare_EventsOfATenant(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.EventShares = full{tenant: "default"}
	post := func(token, bot string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(`{"specversion":"1.0","id":"e1","source":"/t",
			"type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z","subject":"c1","bot":"`+bot+`","data":{"step":"S"}}`))
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
}
