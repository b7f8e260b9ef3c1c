package audit

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// shelf keeps events in memory.
type shelf struct {
	events []schemas.AuditEvent
	err    error
}

func (s *shelf) Write(ctx context.Context, event schemas.AuditEvent) error {
	if s.err != nil || ctx.Err() != nil {
		return errors.Join(s.err, ctx.Err())
	}
	s.events = append(s.events, event)
	return nil
}

func TestTrail_BeginAndEnd(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	trail := Trail{Writer: s, Actor: schemas.AuditActor{Name: "ann", Via: "cli"}, Log: slog.New(slog.DiscardHandler)}
	until := time.Now().Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	op, err := trail.Begin(ctx, Change{
		BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Action: schemas.AuditBotPause, Subject: "shop", Until: until,
		Reason: "two\nlines " + strings.Repeat("é", 300),
	})
	require.NoError(t, err)
	cancel()
	op.End(ctx, Outcome{Result: schemas.AuditPartly, Counts: map[string]int{"a": 1}, Error: "unreachable", Objects: make([]string, 300)})
	require.Len(t, s.events, 2, "the result is recorded when the action was interrupted")
	first, last := s.events[0].Data, s.events[1].Data
	require.Equal(t, first.Operation, last.Operation)
	require.NotEqual(t, s.events[0].ID, s.events[1].ID)
	require.Equal(t, []schemas.AuditResult{schemas.AuditRequested, schemas.AuditPartly}, []schemas.AuditResult{first.Result, last.Result})
	require.Equal(t, "ann", last.Actor.Name)
	require.Equal(t, map[string]int{"a": 1}, last.Counts)
	require.Len(t, last.Objects, schemas.AuditObjectsMax)
	require.LessOrEqual(t, len(first.Reason), 256)
	require.NotContains(t, first.Reason, "\n")
	require.True(t, first.Until.Equal(until))
}

func TestTrail_EventNotWritten(t *testing.T) {
	t.Parallel()
	_, err := Trail{Writer: &shelf{err: errors.New("away")}, Log: slog.New(slog.DiscardHandler)}.Begin(t.Context(), Change{})
	require.ErrorContains(t, err, "away")
}

func TestTrail_ActorWithoutAName(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	_, err := Trail{Writer: s, Log: slog.New(slog.DiscardHandler)}.Begin(t.Context(), Change{Action: schemas.AuditSetup})
	require.NoError(t, err)
	require.Equal(t, "unknown", s.events[0].Data.Actor.Name)
}
