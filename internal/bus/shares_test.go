package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

func TestShares_HalfOfTheStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Sizes: map[string]int64{"events": 1 << 20}})
	ctx := testContext(t)
	body := make([]byte, 16<<10)
	fill := func(tenant string, from, to int) {
		for n := from; n < to; n++ {
			_, err := js.Publish(ctx, fmt.Sprintf("%s.%s.shop.c%d", schemas.SubjectEvents, tenant, n), body)
			require.NoError(t, err)
		}
	}
	exceeded := func(tenant string) bool {
		return settled(t, NewEventShares(js, streams), tenant)
	}
	require.False(t, exceeded("acme"), "an empty stream")
	fill("acme", 0, 20)
	fill("globex", 0, 20)
	require.False(t, exceeded("acme"), "the stream is more than half full, of two tenants")
	require.False(t, exceeded("globex"))
	fill("acme", 20, 40)
	require.True(t, exceeded("acme"))
	require.False(t, exceeded("globex"), "what another tenant stores counts for that one")
	require.False(t, exceeded("acm"), "a tenant whose name begins another's")
}

// TestShares_SizesOfTheTenant: a tenant's few large events count as large, and do not make the many small ones of
// another tenant large.
func TestShares_SizesOfTheTenant(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Sizes: map[string]int64{"events": 16 << 20}})
	ctx := testContext(t)
	for n := range 17 {
		_, err := js.Publish(ctx, fmt.Sprintf("%s.large.shop.c%d", schemas.SubjectEvents, n), make([]byte, 500<<10))
		require.NoError(t, err)
	}
	for n := range 2000 {
		_, err := js.Publish(ctx, fmt.Sprintf("%s.small.shop.c%d", schemas.SubjectEvents, n%100), make([]byte, 300))
		require.NoError(t, err)
	}
	shares := NewEventShares(js, streams)
	require.True(t, settled(t, shares, "large"))
	require.False(t, settled(t, shares, "small"))
}

// settled returns whether a tenant's share is exceeded, once it was counted: a busy machine may take longer than an event
// waits.
func settled(t *testing.T, shares *Shares, tenant string) (exceeded bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		shares.mu.Lock()
		of, state := shares.tenants[tenant], shares.state.value
		counted := !shares.state.until.IsZero() && (state.bytes < state.most || of != nil && !of.stored.until.IsZero())
		shares.mu.Unlock()
		var err error
		exceeded, err = shares.Exceeded(testContext(t), tenant)
		require.NoError(t, err)
		return counted
	}, soon, poll)
	return exceeded
}

// filled returns the shares of a stream that the tenant acme fills.
func filled(t *testing.T) (jetstream.JetStream, *Shares) {
	t.Helper()
	_, js, streams := setup(t, StreamOptions{Sizes: map[string]int64{"events": 1 << 20}})
	for n := range 40 {
		_, err := js.Publish(testContext(t), fmt.Sprintf("%s.acme.shop.c%d", schemas.SubjectEvents, n), make([]byte, 16<<10))
		require.NoError(t, err)
	}
	return js, NewEventShares(js, streams)
}

// TestShares_ClientGone: a client that disconnects does not lift the share of its tenant, nor that of others.
func TestShares_ClientGone(t *testing.T) {
	t.Parallel()
	_, shares := filled(t)
	gone, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := shares.Exceeded(gone, "acme")
	require.NoError(t, err)
	require.True(t, settled(t, shares, "acme"))
}

// TestShares_CountFails: a tenant whose events cannot be counted in time keeps its share, and one that was not
// counted yet is not rejected.
func TestShares_CountFails(t *testing.T) {
	t.Parallel()
	js, shares := filled(t)
	require.True(t, settled(t, shares, "acme"))
	require.Eventually(t, func() bool {
		shares.mu.Lock()
		defer shares.mu.Unlock()
		if shares.state.reading != nil || shares.tenants["acme"].stored.reading != nil {
			return false
		}
		shares.state.until = time.Now().Add(time.Hour)
		shares.tenants["acme"].stored.until = time.Now() // its count is old
		shares.stream = natsclient.LeaderOf(js, "NONE")
		return true
	}, soon, poll)
	for _, tenant := range []string{"acme", "globex"} {
		require.Eventually(t, func() bool {
			exceeded, err := shares.Exceeded(testContext(t), tenant)
			require.Equal(t, tenant == "acme", exceeded)
			return errors.Is(err, jetstream.ErrStreamNotFound)
		}, soon, poll)
	}
}

func TestShares_OneRequestForManyEvents(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	requests, err := js.Conn().SubscribeSync("$JS.API.STREAM.INFO." + schemas.StreamEvents)
	require.NoError(t, err)
	shares := NewEventShares(js, streams)
	for range 100 {
		_, err := shares.Exceeded(testContext(t), "acme")
		require.NoError(t, err)
	}
	require.NoError(t, js.Conn().Flush())
	pending, _, err := requests.Pending()
	require.NoError(t, err)
	require.LessOrEqual(t, pending, 2)
}

// TestShares_StateUnknown: a server that does not answer is asked by one event of many, and rejects none.
func TestShares_StateUnknown(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	shares := NewEventShares(js, streams)
	shares.stream = natsclient.LeaderOf(js, "NONE")
	require.Eventually(t, func() bool {
		_, err := shares.Exceeded(testContext(t), "acme")
		return errors.Is(err, jetstream.ErrStreamNotFound)
	}, soon, poll)
	exceeded, err := shares.Exceeded(testContext(t), "acme")
	require.NoError(t, err)
	require.False(t, exceeded)
}
