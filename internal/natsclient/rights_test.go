package natsclient

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// TestRights_CreationByAnother is a worker that may not create streams: it is ready again when another process has.
func TestRights_CreationByAnother(t *testing.T) {
	t.Parallel()
	log := newRights(slog.New(slog.DiscardHandler))
	log.violation(nil, violationOf(`Permissions Violation for Publish to "$JS.API.STREAM.CREATE.HOOKTURN_EVENTS"`))
	require.Error(t, log.denied())
	log.forgetCreation()
	require.NoError(t, log.denied())
	log.violation(nil, violationOf(`Permissions Violation for Publish to "$KV.HOOKTURN_CHATS.k"`))
	log.forgetCreation()
	require.Error(t, log.denied())
	log.reset()
	require.NoError(t, log.denied(), "another server may permit more")
}

func violationOf(text string) error { return &violationError{text} }

type violationError struct{ text string }

func (e *violationError) Error() string { return e.text }
func (*violationError) Unwrap() error   { return nats.ErrPermissionViolation }

func TestMatchesSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.b.c", false}, {"a.b.c", "a.b", false}, {"a.*", "a.b", true}, {"a.*", "a", false},
		{"a.>", "a.b.c", true}, {"a.>", "a", false}, {"*.b", "a.b", true}, {"a", "b", false},
	} {
		require.Equal(t, c.want, matchesSubject(c.filter, c.subject), "%s %s", c.filter, c.subject)
	}
	require.Equal(t, "STREAM.INFO.S", withoutAPIPrefix("$JS.API.STREAM.INFO.S"))
	require.Equal(t, "STREAM.INFO.S", withoutAPIPrefix("$JS.hub.API.STREAM.INFO.S"))
	require.Equal(t, "$KV.b.k", withoutAPIPrefix("$JS.hub.API.$KV.b.k"))
	require.Equal(t, "$KV.b.API.k", withoutAPIPrefix("$KV.b.API.k"))
}
