package eventreader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

func TestTooMuch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		held                map[string]int64
		used, wanted, small int64
		want                map[string]int64
	}{
		"one large tenant":             {map[string]int64{"a": 70, "b": 10}, 80, 5, 25, map[string]int64{"a": 5}},
		"two large ones, to one level": {map[string]int64{"a": 50, "b": 40, "c": 5}, 95, 20, 25, map[string]int64{"a": 15, "b": 5}},
		"the larger one only":          {map[string]int64{"a": 60, "b": 35}, 95, 20, 25, map[string]int64{"a": 20}},
		"small ones only":              {map[string]int64{"a": 24, "b": 24, "c": 24, "d": 24}, 96, 21, 25, map[string]int64{}},
		"down to what is small":        {map[string]int64{"a": 30}, 100, 90, 25, map[string]int64{"a": 5}},
		"its part of the stream":       {map[string]int64{"a": 50}, 100, 20, 12, map[string]int64{"a": 10}},
		"nothing":                      {nil, 100, 25, 25, map[string]int64{}},
	} {
		require.Equal(t, c.want, tooMuch(c.held, c.used, c.wanted, c.small), name)
	}
}

// fill publishes events of 1 KiB of a tenant in turn to several conversations, until the stream of 4 MiB is full, or would be
// full twice: a reader may make room as fast as they come.
func fill(t *testing.T, js jetstream.JetStream, tenant string, conversations int) (stored int) {
	t.Helper()
	unguarded, err := jetstream.New(js.Conn(), jetstream.WithDefaultTimeout(soon))
	require.NoError(t, err)
	body := bytes.Repeat([]byte("x"), 1<<10)
	for ; stored < 2*(4<<10); stored++ {
		_, err := unguarded.PublishMsg(testContext(t), &nats.Msg{
			Subject: fmt.Sprintf("%s%s.shop.c-%d", eventRoot, tenant, stored%conversations), Data: body,
		})
		if natsclient.IsStreamFull(err) {
			return stored
		}
		require.NoError(t, err)
	}
	return stored
}

// TestReader_TenantThatFillsTheStream: a tenant fills the stream with events that no handler can have now. They are answered
// until a quarter of the stream is free, in the order of their conversations, and the events of another tenant are stored
// and handled. Each event ends once.
func TestReader_TenantThatFillsTheStream(t *testing.T) {
	t.Parallel()
	released, release := context.WithCancel(t.Context())
	t.Cleanup(release)
	later := map[string]func() Outcome{
		"server busy": func() Outcome { return Retry("busy", errors.New("busy")) },
		"bot paused":  func() Outcome { return Hold(released, "paused") },
	}
	for name, outcome := range later {
		for _, conversations := range []int{1, 500} {
			t.Run(fmt.Sprintf("%s, %d conversations", name, conversations), func(t *testing.T) {
				t.Parallel()
				_, js, streams := setup(t, bus.StreamOptions{Partitions: 2, Sizes: map[string]int64{"events": 4 << 20}})
				handled, answered := newLedger(), newLedger()
				over := make(chan struct{})
				var once sync.Once
				r := startReader(t, js, streams, Options{
					MaxAckPending: 100, MaxConversations: 100,
					Handler: func(_ context.Context, m *Message) Outcome {
						select {
						case <-over:
						default:
							if m.Tenant == "acme" {
								return outcome()
							}
						}
						handled.note(m)
						return Ack()
					},
					Full: func(_ context.Context, m *Message) Outcome {
						require.Equal(t, "acme", m.Tenant)
						answered.note(m)
						return Ack()
					},
				})
				t.Cleanup(func() { once.Do(func() { close(over) }) })
				stored := fill(t, js, "acme", conversations)
				require.Eventually(t, func() bool {
					_, err := js.Publish(testContext(t), eventRoot+"other.shop.c", bytes.Repeat([]byte("y"), 64<<10))
					return err == nil
				}, soon, poll)
				require.Eventually(t, func() bool { return handled.count("c") == 1 }, soon, poll)
				var held bus.EventsStored
				require.Eventually(t, func() bool {
					var err error
					held, err = streams.EventsStored(testContext(t))
					require.NoError(t, err)
					return held.Bytes < held.Most*4/5
				}, soon, poll)
				require.Greater(t, held.Bytes, held.Most*7/10, "no more events are answered than room is needed")
				once.Do(func() { close(over) })
				r.recall("acme", 1<<40)
				requireEmpty(t, streams)
				require.Equal(t, stored+1, handled.distinct()+answered.distinct())
				handled.requireOrder(t)
				answered.requireOrder(t)
				for seq := range answered.runs {
					require.Zero(t, handled.runs[seq])
				}
			})
		}
	}
}

// TestReader_TenantAlone: a tenant that has the installation for itself may fill the stream.
func TestReader_TenantAlone(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1, Sizes: map[string]int64{"events": 4 << 20}})
	asked := make(chan struct{}, 1000)
	r := NewReader(js, streams, Options{
		Handler: func(context.Context, *Message) Outcome { return Retry("busy", errors.New("busy")) },
		Full: func(context.Context, *Message) Outcome {
			t.Error("answered without its turn")
			return Ack()
		},
		Tenants: func() int { asked <- struct{}{}; return 1 },
	})
	fill(t, js, "acme", 10)
	require.NoError(t, r.Start(testContext(t)))
	t.Cleanup(func() { stopReader(t, r) })
	for range 5 {
		select {
		case <-asked:
		case <-time.After(soon):
			t.Fatal("the number of tenants is not asked for")
		}
	}
	require.Eventually(t, func() bool { return r.Stats().Waiting > 0 }, soon, poll)
	r.excess.mu.Lock()
	defer r.excess.mu.Unlock()
	require.Empty(t, r.excess.of)
}
