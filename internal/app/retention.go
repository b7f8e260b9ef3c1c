package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// retentionEvery is the time between two sweeps.
const retentionEvery = 10 * time.Minute

// retention deletes what bots keep for less time than the streams. One starter sweeps: the one that reads partition 0. Two
// at a time, while the partition changes hands, delete the same.
type retention struct {
	bots    func() *bot.Set
	reads   func() []int // the partitions of this starter
	kept    *store.Retention
	metrics *telemetry.Metrics
	log     *slog.Logger
}

// run sweeps until ctx ends.
func (s *retention) run(ctx context.Context) {
	ticker := time.NewTicker(retentionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.sweep(ctx, now)
		}
	}
}

// sweep deletes what is older than its bot keeps it.
func (s *retention) sweep(ctx context.Context, now time.Time) {
	if !slices.Contains(s.reads(), 0) {
		return
	}
	files := map[schemas.BotID]time.Time{}
	for _, b := range s.bots().Bots() {
		r := b.Retention()
		if r.Files > 0 {
			files[b.ID()] = now.Add(-r.Files)
		}
		s.place(ctx, b.ID(), "replies", r.Replies, now, s.kept.Replies)
		s.place(ctx, b.ID(), "dead_letters", r.DeadLetters, now, s.kept.DeadLetters)
	}
	deleted, err := s.kept.Files(ctx, files)
	for of, count := range deleted {
		s.report(of, "files", count, nil)
	}
	if err != nil {
		s.report(schemas.BotID{}, "files", 0, err)
	}
}

// place deletes what is older in one place of a bot.
func (s *retention) place(ctx context.Context, of schemas.BotID, name string, keep time.Duration, now time.Time,
	remove func(context.Context, schemas.BotID, time.Time) (int, error),
) {
	if keep <= 0 || ctx.Err() != nil {
		return
	}
	count, err := remove(ctx, of, now.Add(-keep))
	s.report(of, name, count, err)
}

func (s *retention) report(of schemas.BotID, place string, count int, err error) {
	switch {
	case err != nil:
		s.log.Log(context.Background(), natsclient.RetryLevel(err), "deleting expired data of bot failed, will retry",
			"tenant", of.Tenant, "bot", of.Bot, "place", place, "retry_in", retentionEvery, "error", err)
	case count > 0:
		s.metrics.RetentionDeleted(of, place, count)
		s.log.Info("expired data of bot deleted", "tenant", of.Tenant, "bot", of.Bot, "place", place, "count", count)
	}
}
