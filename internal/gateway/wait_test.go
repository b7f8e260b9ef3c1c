package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// searched records from when a reply was looked for.
type searched struct {
	Replies

	mu    sync.Mutex
	since []time.Time
}

func (s *searched) Find(_ context.Context, _ schemas.ConversationKey, _ string, since time.Time) (*schemas.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = append(s.since, since)
	return nil, nil
}

// TestEvents_WaitLooksBackForDuplicatesOnly: what an engine has stored before is not read for a new event.
func TestEvents_WaitLooksBackForDuplicatesOnly(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	replies := &searched{Replies: g.engines.Replies}
	g.engines.Replies = replies
	for _, back := range []time.Duration{step.ClockSlack, storedFor} {
		replies.since = nil
		status, body := g.post(t, "?wait=1ms", goodEvent)
		require.Equal(t, http.StatusAccepted, status, body)
		require.NotEmpty(t, replies.since)
		for _, since := range replies.since {
			require.WithinDuration(t, time.Now().Add(-back), since, soon)
		}
	}
}

// TestEvents_WaitForTheEndOfAConversation: conversation.ended is answered by conversation.closed, or rejected.
func TestEvents_WaitForTheEndOfAConversation(t *testing.T) {
	t.Parallel()
	ended := strings.Replace(strings.Replace(goodEvent, "step.requested", "conversation.ended", 1),
		`{"step":"ORDER_STATUS"}`, `{}`, 1)
	for _, replyType := range []string{schemas.TypeConversationClosed, schemas.TypeStepReplied} {
		t.Run(replyType, func(t *testing.T) {
			t.Parallel()
			g := startWithNATS(t)
			g.answering(t, replyType)
			status, body := g.post(t, "?wait=15s", ended)
			require.Equal(t, http.StatusOK, status, body)
			require.Equal(t, replyType, body["reply"].(map[string]any)["type"])
		})
	}
}
