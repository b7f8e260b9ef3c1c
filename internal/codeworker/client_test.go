package codeworker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestClient_LeaveToActivity: what is unclear is found out while the claims are there. The activity, which may begin hours
// later, then need not ask.
func TestClient_LeaveToActivity(t *testing.T) {
	t.Parallel()
	started := time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		prepare func(*fleet)
		unclear bool
	}{
		"none has begun it":     {func(*fleet) {}, false},
		"a code worker has":     {func(f *fleet) { f.claims["default/shop/r1"] = "a" }, true},
		"claims are away":       {func(f *fleet) { f.broken = errors.New("away") }, true},
		"claims may be lost":    {func(f *fleet) { f.since = started }, true},
		"it cannot be known":    {func(f *fleet) { f.away = errors.New("away") }, true},
		"left to the activity":  {func(f *fleet) { f.claims["default/shop/r1"] = "activity" }, false},
		"older claims are gone": {func(f *fleet) { f.since = started.Add(-2 * step.ClockSlack) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, q := newFleet(), request()
			c.prepare(f)
			q.Run.Once, q.Run.Started = true, started
			attempt := clientOf(f, f).Attempt(t.Context(), q.Run)
			require.Equal(t, step.ScriptAttempt{NotBegun: true, Unclear: c.unclear}, attempt, "no code worker")
			if !c.unclear {
				require.Equal(t, "activity", f.claims["default/shop/r1"])
			}
		})
	}
}

// TestClient_FollowsTheHolder: the answer about a script was lost, and a code worker has begun it. The client waits for the
// result there: an activity that waits for hours would come when the code worker has forgotten it.
func TestClient_FollowsTheHolder(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*codeworker.Client, context.Context, step.ScriptRun) step.ScriptAttempt{
		"attempt": (*codeworker.Client).Attempt, "leave to activity": (*codeworker.Client).LeaveToActivity,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, q, r := newFleet(), request(), &runner{result: returning(`"v"`)}
			f.join("a", r).Handle(t.Context(), q)
			q.Run.Once = true
			require.Equal(t, ended(`"v"`), call(clientOf(f, f), t.Context(), q.Run))
			require.Len(t, r.runs, 1)
		})
	}
}

// TestClient_HolderPassesItsClaim: the code worker that has claimed the script does not begin it. The activity then need not
// ask it.
func TestClient_HolderPassesItsClaim(t *testing.T) {
	t.Parallel()
	f, q := newFleet(), request()
	claimed, asked := make(chan struct{}), make(chan struct{}, 1)
	a := f.join("a", &runner{err: fault.New(fault.SandboxUnavailable, "none"), hold: func(context.Context) {
		close(claimed)
		<-asked
	}})
	go a.Handle(context.Background(), q)
	<-claimed
	workers := transport(func(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error) {
		asked <- struct{}{}
		return f.CallCodeWorker(ctx, owner, name, request)
	})
	q.Run.Once = true
	require.Equal(t, step.ScriptAttempt{NotBegun: true}, clientOf(workers, f).LeaveToActivity(t.Context(), q.Run))
	require.Equal(t, "activity", f.claims["default/shop/r1"])
}

// transport is a codeworker.Transport.
type transport func(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error)

func (c transport) CallCodeWorker(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error) {
	return c(ctx, owner, name, request)
}

// clientOf returns a client of code workers.
func clientOf(workers codeworker.Transport, claims codeworker.Claims) *codeworker.Client {
	return &codeworker.Client{Transport: workers, Claims: claims, Log: slog.New(slog.DiscardHandler)}
}
