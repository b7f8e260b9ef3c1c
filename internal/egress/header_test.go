package egress

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

func TestHeader_HeadersThatAreSent(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header })
	c := newClient(t, devstack())
	set := http.Header{"webhook-id": {"1"}, "Traceparent": {"00-1"}, "X-Two": {"a", "b"}}
	_, _, err := c.Do(context.Background(), Request{URL: s.URL, Header: set, Body: []byte("{}")})
	require.NoError(t, err)
	h := <-got
	require.Equal(t, http.Header{"Webhook-Id": {"1"}, "Traceparent": {"00-1"}, "X-Two": {"a", "b"}, "User-Agent": {"hookturn"},
		"Accept-Encoding": {"identity"}, "Content-Length": {"2"}}, h)
	require.Len(t, set, 3, "the caller's headers are left alone")

	_, _, err = c.Do(context.Background(), Request{URL: s.URL, Header: http.Header{"User-Agent": {"shop"}}})
	require.NoError(t, err)
	require.Equal(t, "shop", (<-got).Get("User-Agent"))

	for _, name := range []string{"Host", "Idempotency-Key", "Connection", "a b"} {
		_, a, err := c.Do(context.Background(), Request{URL: s.URL, Header: http.Header{name: {"s3cret"}}})
		requireFault(t, fault.Config, err, a)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "3600": time.Hour, "7200": 2 * time.Hour,
		"2592000": MaxRetryAfter, "2592001": MaxRetryAfter, "1000000000": MaxRetryAfter, "99999999999999999999999": MaxRetryAfter,
		"-1": 0, "+1": 0, "1.5": 0, "1e9": 0, "soon": 0, "7 seconds": 0,
		"Fri, 20 Nov 2026 12:00:30 GMT":  30 * time.Second,
		"Friday, 20-Nov-26 12:00:30 GMT": 30 * time.Second,
		"Fri, 20 Nov 2026 11:59:59 GMT":  0,
		"Fri, 20 Nov 2026 17:00:00 GMT":  5 * time.Hour,
		"Fri, 20 Nov 2099 12:00:00 GMT":  MaxRetryAfter,
		"Thu, 01 Jan 1970 00:00:00 GMT":  0,
		"2026-11-20T12:00:30Z":           0,
	} {
		require.Equal(t, want, RetryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
	require.Zero(t, RetryAfter(http.Header{}, now))
}
