package socket

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/schemas"
)

// TestSubscribe_OneSubscriptionOnNATS: however many subscriptions of a bot's channels match, NATS sends a notice to the
// process once. Each subscription passes it on once, even when it repeats a class.
func TestSubscribe_OneSubscriptionOnNATS(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	clients := []client{s.dial(), s.dial()}
	const each = 20
	for _, c := range clients {
		for i := range each {
			answer := c.ask(`["subscribe",{"qid":1,"id":"` + strconv.Itoa(i) + `","events":[">"` + strings.Repeat(`,">"`, 15) + `]}]`)
			require.Equal(t, true, answer["success"], answer)
		}
	}
	require.Equal(t, 1, w.listeners())
	w.notify("shop", "orders.paid", `{"id":"e1"}`)
	for _, c := range clients {
		seen := map[any]bool{}
		for range each {
			name, body := c.hear()
			require.Equal(t, "event", name)
			seen[body["id"]] = true
		}
		require.Len(t, seen, each)
		name, _ := c.hearAfter(`["connection_info",{"qid":1}]`)
		require.Equal(t, "connection_info_result", name, "the notice was passed on again")
	}
	for i := range each {
		clients[0].ask(`["subscribe",{"qid":1,"id":"` + strconv.Itoa(i) + `","expires":0}]`)
	}
	require.Equal(t, 1, w.listeners(), "the other connection has subscriptions")
}

// TestSubscribe_RepeatedClasses: a class that is named again is one.
func TestSubscribe_RepeatedClasses(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","events":["b","a","b"]}]`)["success"])
	require.Equal(t, []string{"a", "b"}, s.membersOf(s.channel.BotID)[0].subs["s"].classes)
}

// TestSubscribe_TenantIsBounded: a tenant has a number of subscriptions in a process, and another one has its own.
func TestSubscribe_TenantIsBounded(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	c := s.dial()
	var last func()
	for range tenantSubs {
		release, ok := s.subscriptions.Take("default", tenantSubs)
		require.True(t, ok)
		last = release
	}
	refused := c.ask(`["subscribe",{"qid":1,"events":["a"]}]`)
	require.Equal(t, "rate_limited", refused["error"].(map[string]any)["kind"])
	require.Zero(t, w.listeners())
	last()
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","events":["a"]}]`)["success"])
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","expires":0}]`)["success"])
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","events":["a"]}]`)["success"], "its place was not returned")
}

// TestSubscribe_NotConfirmed: a subscription that NATS does not confirm is answered with an error and ends, whether it is
// the first one of a bot or a later one.
func TestSubscribe_NotConfirmed(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	first, later := s.dial(), s.dial()
	const ask = `["subscribe",{"qid":1,"id":"s","events":["a"]}]`
	for _, c := range []client{first, later} {
		before := w.listeners()
		w.leave(errors.New("no answer"))
		answer := c.ask(ask)
		require.Equal(t, "internal", answer["error"].(map[string]any)["kind"], answer)
		require.Contains(t, answer["error"].(map[string]any)["message"], "subscribe again")
		require.Equal(t, before, w.listeners())
		require.Len(t, s.membersOf(s.channel.BotID), before)
		w.leave(nil)
		require.Equal(t, true, c.ask(ask)["success"])
	}
}

// TestSubscribe_LargeNoticeDropped: engines publish on NATS, where only the server's own limit holds.
func TestSubscribe_LargeNoticeDropped(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	c := serve(t, w, public()).dial()
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"events":["a"]}]`)["success"])
	w.notify("shop", "a", `{"id":"large","data":"`+strings.Repeat("a", schemas.NoticeMax)+`"}`)
	w.notify("shop", "a", `{"id":"small"}`)
	_, body := c.hear()
	require.Equal(t, "small", body["event_id"])
}

// TestSubscribe_InvalidNoticesInTheLog: who publishes notices decides how many are invalid, and has a log line a minute.
func TestSubscribe_InvalidNoticesInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := &Hub{Log: slog.New(slog.NewTextHandler(&log, nil))}
	a := &audience{invalid: rate.Sometimes{First: 1, Interval: time.Minute}}
	for range 100 {
		h.receive(a, schemas.BotID{Tenant: "default", Bot: "shop"}, "a", []byte("{"))
	}
	require.Equal(t, 1, strings.Count(log.String(), "event notification dropped"))
}
