package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// TestErase_PersonWithThousandSteps erases a user with 1,000 steps in 20 conversations, of which half have just closed, with
// Temporal's own settings, and logs how long it took.
func TestErase_PersonWithThousandSteps(t *testing.T) {
	t.Parallel()
	const conversations, each = 20, 50
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	s, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples})
	for n := range conversations {
		for range each {
			e.publish(t, "shop", fmt.Sprintf("c-%d", n), uuid.NewString(), schemas.TypeStepRequested, `{"step":"ORDER","user":{"id":"91"}}`)
		}
	}
	for n := range conversations {
		e.replied(t, "shop", fmt.Sprintf("c-%d", n), each)
	}
	for n := range conversations / 2 {
		e.publish(t, "shop", fmt.Sprintf("c-%d", n), uuid.NewString(), schemas.TypeConversationEnded, `{"reason":"done"}`)
	}
	require.Eventually(t, func() bool {
		out, _ := tool(t, s.NATS.URL(), s.Temporal.Addr(), "erase", "--user", "91", "--dry-run", "--output", "json")
		var dry erased
		return json.Unmarshal([]byte(out), &dry) == nil && dry.Conversations == conversations && dry.Replies >= conversations*each+conversations/2
	}, patience, 200*time.Millisecond)

	began := time.Now()
	out, status := tool(t, s.NATS.URL(), s.Temporal.Addr(), "erase", "--user", "91", "--yes", "--output", "json")
	t.Logf("erased in %s: %s", time.Since(began).Round(time.Millisecond), out)
	require.Zero(t, status)
	var report struct {
		Conversations, Runs, Replies, Deleting int
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, conversations, report.Conversations)
	require.GreaterOrEqual(t, report.Runs, conversations)
	require.GreaterOrEqual(t, report.Replies, conversations*each)
}
