package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestHeaderValue(t *testing.T) { //nolint:paralleltest // it counts allocations
	header := nats.Header{"Traceparent": {"a", "b"}, "TRACEPARENT": {"c"}, "empty": {}, "nats-ttl": {"5s"}}
	for name, want := range map[string]string{
		"traceparent": "c", "Traceparent": "a", "TraceParent": "c", "Empty": "", "none": "", "Nats-TTL": "5s",
	} {
		require.Equal(t, want, HeaderValue(header, name), name)
	}
	require.Empty(t, HeaderValue(nil, "a"))
	for i := range 10_000 {
		header[fmt.Sprintf("x-%d", i)] = []string{"x"}
	}
	// Goroutines of other tests may allocate meanwhile. A copy of so many names is 19 allocations.
	require.Less(t, testing.AllocsPerRun(10, func() { HeaderValue(header, "none") }), 10.0, "the names are not copied")
}

func TestExpires_HeaderInAnyCase(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, name := range []string{"Nats-TTL", "Nats-Ttl", "nats-ttl", "NATS-TTL"} {
		require.Equal(t, received.Add(time.Minute), Expires(nats.Header{name: {"60"}}, received), name)
	}
	require.Equal(t, received, Expires(nats.Header{"hookturn-expires": {"2026-11-20T12:00:00Z"}}, received).UTC())
}
