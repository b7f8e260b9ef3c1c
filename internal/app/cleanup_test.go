package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCleanup_PartsStopInTheOppositeOrder(t *testing.T) {
	t.Parallel()
	p := parts{log: slog.New(slog.DiscardHandler)}
	var stopped []string
	away := errors.New("away")
	add := func(name string, err error) {
		p.add(name, func(context.Context) error {
			stopped = append(stopped, name)
			return err
		})
	}
	add("bot files", nil)
	add("NATS", away)
	add("worker", context.DeadlineExceeded)
	add("admin listener", nil)

	err := p.stop(t.Context())
	require.Equal(t, []string{"admin listener", "worker", "NATS", "bot files"}, stopped, "an error keeps no part running")
	require.ErrorIs(t, err, away)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualError(t, err, "stop worker: context deadline exceeded\nstop NATS: away")

	require.NoError(t, p.stop(t.Context()), "a second stop has nothing to do")
	require.Len(t, stopped, 4)
}

func TestCleanup_PartIsGivenSoMuchTime(t *testing.T) {
	t.Parallel()
	untilDone := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	require.ErrorIs(t, within(time.Nanosecond, untilDone)(t.Context()), context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, within(time.Hour, untilDone)(ctx), context.Canceled)
}
