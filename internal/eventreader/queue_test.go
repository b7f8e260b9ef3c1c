package eventreader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// publishMany publishes events of one conversation of a tenant, as fast as the server takes them.
func publishMany(t *testing.T, js jetstream.JetStream, tenant, conversation string, n int, body []byte) {
	t.Helper()
	for range n {
		_, err := js.PublishMsgAsync(&nats.Msg{Subject: eventRoot + tenant + ".shop." + conversation, Data: body},
			jetstream.WithStallWait(soon))
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
}

// TestReader_LongConversationDelaysNoOther: a conversation with more events than JetStream delivers without an
// acknowledgement does not delay others of its partition, of its own tenant or of another one.
func TestReader_LongConversationDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, backlog := range map[string]int{"a little longer": 60, "much longer": 3000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
			entered, release := make(chan struct{}, backlog), make(chan struct{})
			seen := newLedger()
			handler := func(_ context.Context, m *Message) Outcome {
				if m.Conversation == "long" {
					entered <- struct{}{}
					<-release
				}
				seen.note(m)
				return Ack()
			}
			startReader(t, js, streams, Options{MaxAckPending: 50, Handler: handler})
			publishMany(t, js, "acme", "long", backlog, []byte("x"))
			<-entered
			publishMany(t, js, "acme", "same-tenant", 20, []byte("x"))
			publishMany(t, js, "other", "other-tenant", 20, []byte("x"))
			require.Eventually(t, func() bool { return seen.count("same-tenant") == 20 && seen.count("other-tenant") == 20 }, soon, poll)
			require.Zero(t, seen.count("long"))
			close(release)
			requireEmpty(t, streams)
			require.Equal(t, backlog, seen.count("long"))
			require.Equal(t, backlog+40, seen.distinct())
			seen.requireOrder(t)
		})
	}
}

// TestReader_ManyConversationsOfOneTenant: a tenant with more conversations than fit into memory delays no other tenant,
// and the order of its own conversations holds.
func TestReader_ManyConversationsOfOneTenant(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	const conversations, each = 100, 3
	release := make(chan struct{})
	seen := newLedger()
	handler := func(_ context.Context, m *Message) Outcome {
		if m.Tenant == "acme" {
			<-release
		}
		seen.note(m)
		return Ack()
	}
	r := startReader(t, js, streams, Options{MaxAckPending: 20, MaxConversations: 10, MaxInFlight: 40, Handler: handler})
	for range each {
		for n := range conversations {
			publishMany(t, js, "acme", fmt.Sprintf("c-%d", n), 1, []byte("x"))
		}
	}
	require.Eventually(t, func() bool { return r.Stats().ParkedTenants == 1 }, soon, poll)
	publishMany(t, js, "other", "quiet", 20, []byte("x"))
	require.Eventually(t, func() bool { return seen.count("quiet") == 20 }, soon, poll)
	require.Equal(t, 20, seen.distinct())
	require.LessOrEqual(t, r.Stats().Conversations, 11)
	close(release)
	requireEmpty(t, streams)
	require.Equal(t, conversations*each+20, seen.distinct())
	seen.requireOrder(t)
	require.Zero(t, r.Stats().ParkedTenants)
}

// TestReader_ParkedEventsMoveToAnotherReader: what waits in the stream is handled in order when its reader stops halfway.
func TestReader_ParkedEventsMoveToAnotherReader(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	const conversations, each = 12, 40
	seen := newLedger()
	half := make(chan struct{})
	var once sync.Once
	options := Options{MaxAckPending: 25, MaxConversations: 4, closeTimeout: soon, Handler: func(_ context.Context, m *Message) Outcome {
		seen.note(m)
		if seen.distinct() == conversations*each/2 {
			once.Do(func() { close(half) })
		}
		return Ack()
	}}
	first := NewReader(js, streams, options)
	require.NoError(t, first.Start(testContext(t)))
	published := make(chan error, 1)
	go func() { published <- publishAll(testContext(t), js, conversations, each) }()
	<-half
	stopReader(t, first)
	startReader(t, js, streams, options)
	require.NoError(t, <-published)
	requireEmpty(t, streams)
	require.Equal(t, conversations*each, seen.distinct())
	seen.requireOrder(t)
}

// TestReader_MemoryDoesNotGrowWithTheBacklog: behind the first event of a conversation only positions are in memory, and of
// the first ones no more bytes than the limit allows.
func TestReader_MemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	const limit = 8 << 20
	body := []byte(strings.Repeat("x", 64<<10))
	var running, most atomic.Int64
	entered, release := make(chan struct{}, 1000), make(chan struct{})
	r := startReader(t, js, streams, Options{MemoryLimit: limit, Handler: func(_ context.Context, m *Message) Outcome {
		now := running.Add(int64(len(m.Data)))
		defer running.Add(-int64(len(m.Data)))
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		entered <- struct{}{}
		<-release
		return Ack()
	}})
	for n := range 100 {
		publishMany(t, js, "acme", fmt.Sprintf("c-%d", n), 5, body)
	}
	require.Eventually(t, func() bool { return r.Stats().Waiting == 500 }, soon, poll)
	<-entered
	require.Positive(t, r.Stats().KeptBytes)
	require.LessOrEqual(t, r.Stats().KeptBytes, int64(limit/keptShare))
	for _, q := range onlyPartition(t, r).queues {
		require.Empty(t, q.again)
	}
	close(release)
	requireEmpty(t, streams)
	require.LessOrEqual(t, most.Load(), int64(limit/handledShare))
	require.Zero(t, r.Stats().KeptBytes)
}

func onlyPartition(t *testing.T, r *Reader) *partition {
	t.Helper()
	var p *partition
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if h := r.assignments[0]; h != nil {
			p = h.reading.Load()
		}
		return p != nil
	}, soon, poll)
	return p
}

// TestReader_TenantWithSlowHandlers: a tenant that fills its slots delays no other tenant.
func TestReader_TenantWithSlowHandlers(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	release := make(chan struct{})
	seen := newLedger()
	handler := func(_ context.Context, m *Message) Outcome {
		if m.Tenant == "slow" {
			<-release
		}
		seen.note(m)
		return Ack()
	}
	r := startReader(t, js, streams, Options{MaxInFlight: 20, Handler: handler})
	for n := range 300 {
		publishMany(t, js, "slow", fmt.Sprintf("c-%d", n), 1, []byte("x"))
	}
	require.Eventually(t, func() bool { return r.Stats().Tenants["slow"].Running == 16 }, soon, poll)
	publishMany(t, js, "quiet", "c", 50, []byte("x"))
	require.Eventually(t, func() bool { return seen.count("c") == 50 }, soon, poll)
	require.Equal(t, 50, seen.distinct())
	close(release)
	requireEmpty(t, streams)
}

// TestReader_RetriesWaitWithoutASlot: conversations that are retried do not hold slots, and wait longer from try to try.
func TestReader_RetriesWaitWithoutASlot(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	var away atomic.Bool
	away.Store(true)
	var tries atomic.Int64
	seen := newLedger()
	r := startReader(t, js, streams, Options{MaxInFlight: 2, Handler: func(_ context.Context, m *Message) Outcome {
		if m.Tenant == "acme" && away.Load() {
			tries.Add(1)
			return Retry("away", errors.New("away"))
		}
		seen.note(m)
		return Ack()
	}})
	for n := range 30 {
		publishMany(t, js, "acme", fmt.Sprintf("c-%d", n), 2, []byte("x"))
	}
	require.Eventually(t, func() bool { s := r.Stats(); return s.Retrying == 30 && s.Tenants["acme"].Running == 0 }, soon, poll)
	publishMany(t, js, "other", "c", 5, []byte("x"))
	require.Eventually(t, func() bool { return seen.count("c") == 5 }, soon, poll)
	away.Store(false)
	requireEmpty(t, streams)
	require.Zero(t, r.Stats().Retrying)
	require.Equal(t, 65, seen.distinct())
	seen.requireOrder(t)
}

// TestReader_SlowCallsGetFewerSlots: a tenant whose calls succeed slowly has fewer of them at a time, and loses none.
func TestReader_SlowCallsGetFewerSlots(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	const slots, events = 20, 80
	seen := newLedger()
	handler := func(_ context.Context, m *Message) Outcome {
		<-time.After(loadWindow / 2)
		seen.note(m)
		return Ack()
	}
	r := startReader(t, js, streams, Options{MaxInFlight: slots, SlowCall: 10 * time.Millisecond, Handler: handler})
	for n := range events {
		publishMany(t, js, "slow", fmt.Sprintf("c-%d", n), 1, []byte("x"))
	}
	require.Eventually(t, func() bool {
		s, busy := r.Stats().Tenants["slow"]
		return busy && s.Limit < slots/2
	}, soon, poll)
	requireEmpty(t, streams)
	require.Equal(t, events, seen.distinct())
}
