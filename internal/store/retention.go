package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Retention deletes what is stored of a bot and older than the bot keeps it.
type Retention struct{ streams bus.Streams }

// NewRetention returns a new Retention on an account's streams.
func NewRetention(s bus.Streams) *Retention { return &Retention{streams: s} }

// Bounds of one sweep: a purge is one request for so many sequences of the stream, with a pause after it; files are deleted
// one by one, with a shorter pause.
const (
	purgeSequences = 100_000
	purgePause     = 200 * time.Millisecond
	filePause      = 20 * time.Millisecond
)

// Replies deletes the bot's replies from before a time, and returns their number.
func (r *Retention) Replies(ctx context.Context, of schemas.BotID, before time.Time) (int, error) {
	return r.sweep(ctx, r.streams.Replies(), schemas.SubjectReplies, of, before)
}

// DeadLetters deletes the bot's dead letters from before a time, and returns their number.
func (r *Retention) DeadLetters(ctx context.Context, of schemas.BotID, before time.Time) (int, error) {
	return r.sweep(ctx, r.streams.DeadLetters(), schemas.SubjectDeadLetters, of, before)
}

// sweep purges the messages of a bot that the stream received before a time.
func (r *Retention) sweep(
	ctx context.Context, stream jetstream.Stream, root string, of schemas.BotID, before time.Time,
) (int, error) {
	if !of.Valid() {
		return 0, fmt.Errorf("invalid bot %q of tenant %q", of.Bot, of.Tenant)
	}
	subject := root + "." + of.Tenant + "." + of.Bot + ".*"
	_, all, err := pending(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil || all == 0 {
		return 0, err
	}
	kept, rest, err := pending(ctx, stream, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &before,
	})
	if err != nil || rest >= all {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	for to := info.State.FirstSeq; to < kept; {
		to = min(to+purgeSequences, kept)
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(to)); err != nil {
			return 0, fmt.Errorf("purge %s: %w", subject, err)
		}
		if err := pause(ctx, purgePause); err != nil {
			return 0, err
		}
	}
	return int(all - rest), nil
}

// pending returns the sequence at which a consumer of this configuration begins, and how many messages it would read.
func pending(ctx context.Context, stream jetstream.Stream, from jetstream.ConsumerConfig) (first, count uint64, err error) {
	from.AckPolicy, from.MemoryStorage, from.InactiveThreshold = jetstream.AckNonePolicy, true, 10*time.Second
	reader, err := stream.CreateConsumer(ctx, from)
	if err != nil {
		return 0, 0, fmt.Errorf("count messages of %s: %w", from.FilterSubject, err)
	}
	info := reader.CachedInfo()
	err = stream.DeleteConsumer(context.WithoutCancel(ctx), info.Name)
	return info.Delivered.Stream + 1, info.NumPending, err
}

// Files deletes the files of bots from before a time for each, and returns their numbers.
func (r *Retention) Files(ctx context.Context, before map[schemas.BotID]time.Time) (map[schemas.BotID]int, error) {
	deleted := map[schemas.BotID]int{}
	if len(before) == 0 {
		return deleted, nil
	}
	files, err := r.streams.Files().List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return deleted, nil
	}
	if err != nil {
		return deleted, fmt.Errorf("list files: %w", err)
	}
	for _, file := range files {
		of, id, ok := ownerOfFile(file.Name)
		if until, kept := before[of]; !ok || !kept || !file.ModTime.Before(until) {
			continue
		}
		err := NewFiles(r.streams).Delete(ctx, of, id)
		if err != nil && !errors.Is(err, ErrNoFile) {
			return deleted, err
		}
		deleted[of]++
		if err := pause(ctx, filePause); err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// ownerOfFile reads the name of an object, as fileName makes it.
func ownerOfFile(name string) (of schemas.BotID, id string, ok bool) {
	tenant, rest, found := strings.Cut(name, "/")
	bot, id, more := strings.Cut(rest, "/")
	return schemas.BotID{Tenant: tenant, Bot: bot}, id, found && more
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
