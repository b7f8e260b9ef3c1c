package gateway

import (
	"net/http"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestReplies_StreamCreatedAgain: an engine was away while the stream vanished, was created again and took more replies than
// the engine's position. Its position is not one of this stream: going on behind it would skip replies.
func TestReplies_StreamCreatedAgain(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	for _, event := range []string{"e1", "e2", "e3"} {
		g.reply(t, shopBot, event, schemas.TypeStepReplied)
	}
	s := g.open(t, tokenOfDefault, "?after=0")
	for _, want := range []string{"0", "1", "2", "3"} {
		id, _ := s.next(t)
		require.Equal(t, want, id)
	}
	s.end()

	require.NoError(t, g.js.DeleteStream(t.Context(), schemas.StreamReplies))
	require.NoError(t, bus.Ready(t.Context(), g.js), "the upkeep creates it again")
	s = g.open(t, tokenOfDefault, "")
	first, _ := s.next(t)
	s.end()
	var replies []schemas.Reply
	for _, event := range []string{"e4", "e5", "e6", "e7", "e8"} {
		replies = append(replies, g.reply(t, shopBot, event, schemas.TypeStepReplied))
	}
	s = g.open(t, tokenOfDefault, "", "Last-Event-ID", "3")
	require.Equal(t, http.StatusGone, s.answer.StatusCode)
	s.end()
	for _, begin := range []string{"0", first} {
		s = g.open(t, tokenOfDefault, "?after="+begin)
		require.Equal(t, http.StatusOK, s.answer.StatusCode)
		s.next(t)
		for _, reply := range replies {
			s.requireReply(t, reply)
		}
		s.end()
	}
}

// TestReplies_PositionExpired: replies behind the position have expired. That is not a loss: what is stored follows.
func TestReplies_PositionExpired(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	for _, event := range []string{"e1", "e2", "e3"} {
		g.reply(t, shopBot, event, schemas.TypeStepReplied)
	}
	last := g.reply(t, shopBot, "e4", schemas.TypeStepReplied)
	stream, err := g.js.Stream(t.Context(), schemas.StreamReplies)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)))
	s := g.open(t, tokenOfDefault, "", "Last-Event-ID", "1")
	require.Equal(t, http.StatusOK, s.answer.StatusCode)
	s.next(t)
	require.Equal(t, "4", s.requireReply(t, last))
}
