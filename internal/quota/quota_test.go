package quota

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const (
	soon = time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond

	streamOfTest = "EVENTS"
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	return ctx
}

// setup starts a server with a stream of a size, whose subjects have the tenant behind another token, as the partition of
// an event is.
func setup(t *testing.T, maxBytes int64) jetstream.JetStream {
	t.Helper()
	nc, js, err := natsclient.Login{URL: natstest.Start(t).ClientURL()}.Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	_, err = js.CreateStream(testContext(t), jetstream.StreamConfig{
		Name: streamOfTest, Subjects: []string{"events.*.*.*.*"}, MaxBytes: maxBytes, Discard: jetstream.DiscardNew,
		Retention: jetstream.WorkQueuePolicy,
	})
	require.NoError(t, err)
	return js
}

func newEvents(js jetstream.JetStream) *Quota {
	return New(js, streamOfTest, "events.*.", 1<<20+64<<10+1<<10)
}

func TestQuota_HalfOfTheStream(t *testing.T) {
	t.Parallel()
	js := setup(t, 1<<20)
	ctx := testContext(t)
	body := make([]byte, 16<<10)
	fill := func(tenant string, from, to int) {
		for n := from; n < to; n++ {
			_, err := js.Publish(ctx, fmt.Sprintf("events.7.%s.shop.c%d", tenant, n), body)
			require.NoError(t, err)
		}
	}
	exceeded := func(tenant string) bool {
		return settled(t, newEvents(js), tenant)
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

// TestQuota_SizesOfTheTenant: a tenant's few large events count as large, and do not make the many small ones of
// another tenant large.
func TestQuota_SizesOfTheTenant(t *testing.T) {
	t.Parallel()
	js := setup(t, 16<<20)
	ctx := testContext(t)
	for n := range 17 {
		_, err := js.Publish(ctx, fmt.Sprintf("events.7.large.shop.c%d", n), make([]byte, 500<<10))
		require.NoError(t, err)
	}
	for n := range 2000 {
		_, err := js.Publish(ctx, fmt.Sprintf("events.7.small.shop.c%d", n%100), make([]byte, 300))
		require.NoError(t, err)
	}
	quota := newEvents(js)
	require.True(t, settled(t, quota, "large"))
	require.False(t, settled(t, quota, "small"))
}

// settled returns whether a tenant's share is exceeded, once it was counted: a busy machine may take longer than an event
// waits.
func settled(t *testing.T, quota *Quota, tenant string) (exceeded bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		quota.mu.Lock()
		of, state := quota.tenants[tenant], quota.state.value
		counted := !quota.state.until.IsZero() && (state.bytes < state.most || of != nil && !of.stored.until.IsZero())
		quota.mu.Unlock()
		var err error
		exceeded, err = quota.Exceeded(testContext(t), tenant)
		require.NoError(t, err)
		return counted
	}, soon, poll)
	return exceeded
}

// filled returns the quota of a stream that the tenant acme fills.
func filled(t *testing.T) (jetstream.JetStream, *Quota) {
	t.Helper()
	js := setup(t, 1<<20)
	for n := range 40 {
		_, err := js.Publish(testContext(t), fmt.Sprintf("events.7.acme.shop.c%d", n), make([]byte, 16<<10))
		require.NoError(t, err)
	}
	return js, newEvents(js)
}

// TestQuota_ClientGone: a client that disconnects does not lift the share of its tenant, nor that of others.
func TestQuota_ClientGone(t *testing.T) {
	t.Parallel()
	_, quota := filled(t)
	gone, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := quota.Exceeded(gone, "acme")
	require.NoError(t, err)
	require.True(t, settled(t, quota, "acme"))
}

// TestQuota_CountFails: a tenant whose events cannot be counted in time keeps its share, and one that was not
// counted yet is not rejected.
func TestQuota_CountFails(t *testing.T) {
	t.Parallel()
	js, quota := filled(t)
	require.True(t, settled(t, quota, "acme"))
	require.Eventually(t, func() bool {
		quota.mu.Lock()
		defer quota.mu.Unlock()
		if quota.state.reading != nil || quota.tenants["acme"].stored.reading != nil {
			return false
		}
		quota.state.until = time.Now().Add(time.Hour)
		quota.tenants["acme"].stored.until = time.Now() // its count is old
		quota.stream = natsclient.LeaderOf(js, "NONE")
		return true
	}, soon, poll)
	for _, tenant := range []string{"acme", "globex"} {
		require.Eventually(t, func() bool {
			exceeded, err := quota.Exceeded(testContext(t), tenant)
			require.Equal(t, tenant == "acme", exceeded)
			return errors.Is(err, jetstream.ErrStreamNotFound)
		}, soon, poll)
	}
}

func TestQuota_OneRequestForManyEvents(t *testing.T) {
	t.Parallel()
	js := setup(t, 1<<20)
	requests, err := js.Conn().SubscribeSync("$JS.API.STREAM.INFO." + streamOfTest)
	require.NoError(t, err)
	quota := newEvents(js)
	for range 100 {
		_, err := quota.Exceeded(testContext(t), "acme")
		require.NoError(t, err)
	}
	require.NoError(t, js.Conn().Flush())
	pending, _, err := requests.Pending()
	require.NoError(t, err)
	require.LessOrEqual(t, pending, 2)
}

// TestQuota_StateUnknown: a server that does not answer is asked by one event of many, and rejects none.
func TestQuota_StateUnknown(t *testing.T) {
	t.Parallel()
	js := setup(t, 1<<20)
	quota := newEvents(js)
	quota.stream = natsclient.LeaderOf(js, "NONE")
	require.Eventually(t, func() bool {
		_, err := quota.Exceeded(testContext(t), "acme")
		return errors.Is(err, jetstream.ErrStreamNotFound)
	}, soon, poll)
	exceeded, err := quota.Exceeded(testContext(t), "acme")
	require.NoError(t, err)
	require.False(t, exceeded)
}

// TestQuota_WaitsForItsTurn: a count that waits for one of another tenant neither fails for it nor is used for longer.
func TestQuota_WaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quota := &Quota{counting: make(chan struct{}, 1)}
		quota.counting <- struct{}{} // the count of another tenant
		var r recent[int]
		value := func(read func(context.Context, int) (int, error)) int {
			v, err := ask(t.Context(), quota, &r, quota.counting, read)
			require.NoError(t, err)
			return v
		}
		read := func(ctx context.Context, _ int) (int, error) { return 1, ctx.Err() }
		require.Zero(t, value(read))
		<-time.After(2 * shareTimeout)
		<-quota.counting
		synctest.Wait()
		require.Equal(t, 1, value(read))
		require.LessOrEqual(t, time.Until(r.until), shareFor)
	})
}

// TestQuota_PartialCount: a tenant with so many conversations that they cannot be counted in time has at least those that
// were counted.
func TestQuota_PartialCount(t *testing.T) {
	t.Parallel()
	nc := setup(t, 1<<20).Conn()
	page := `{"total":4,"state":{"subjects":{"a":3,"b":4}}}`
	for subject, answer := range map[string]string{
		"fake.STREAM.INFO.X":    page, // of the first request only: the count does not end
		"fake.STREAM.MSG.GET.X": `{"message":{"subject":"a","seq":1,"data":"` + base64.StdEncoding.EncodeToString(make([]byte, 1<<20)) + `"}}`,
	} {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if !strings.Contains(string(m.Data), `"offset":2`) {
				_ = m.Respond([]byte(answer))
			}
		})
		require.NoError(t, err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "fake")
	require.NoError(t, err)
	quota := New(js, "X", "", 2<<20)
	quota.countFor = time.Second
	stored, err := quota.countTenant(testContext(t), "acme", &ofTenant{}, streamStored{most: 8 << 20, last: 7}, tenantStored{})
	require.NoError(t, err)
	require.Greater(t, stored.bytes, uint64(7<<20))
	require.Less(t, stored.bytes, uint64(8<<20))
}
