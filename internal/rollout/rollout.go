// Package rollout reports whether the bot files of the live starters differ. A change of the files reaches one starter
// after another: for a minute or two some have a bot or a step that others do not have. Each starter announces a digest of
// its files in the bucket of starters, and reads those of the others when an event or a request names what its own files do
// not have.
package rollout

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// Grace is how long after it was stored an event waits, at most, for the bot files of this starter. Kubernetes needs a
	// minute or more to write a changed ConfigMap to all pods.
	Grace = 90 * time.Second
	// Shares of the StarterTTL. An announcement is read again after a twelfth, as often as a starter announces a change; a half
	// is long enough for both.
	readShare   = 12
	settleShare = 2

	readTimeout = 2 * time.Second // of all announcements
)

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Files compares the bot files of this starter with those of the others. It is safe for concurrent use. All exported fields
// are required.
type Files struct {
	Bots    Bots
	Streams bus.Streams
	Name    string // the instance id of this starter

	mu    sync.Mutex
	read  announced
	err   error     // why it could not be read
	until time.Time // when it is read again
	since [bot.DigestParts]comparison
}

// announced is what the other starters have announced.
type announced struct {
	digests []string
	ahead   time.Duration // of the clock of NATS, compared with that of this process
}

// Announcement returns what this starter announces.
func (f *Files) Announcement() string { return f.Bots.Current().Digest() }

// Wait returns how long an event waits that names what a Set does not have: as long as the Set may be behind that of
// another starter, at most until Grace after JetStream stored the event, by its clock, and until a moment at which it is to
// be answered, nil when it does not have one. It is 0 where the event is a mistake: no other starter lives, or all have the
// same file of the bot. Before that is certain the event waits for a few seconds: the change of a starter that has
// accepted the event may not be announced. The error reports that NATS cannot be asked.
func (f *Files) Wait(
	ctx context.Context, own *bot.Set, id schemas.BotID, stored time.Time, answerBy *time.Time,
) (time.Duration, error) {
	if time.Since(stored) > Grace+step.ClockSlack { // too old by any clock
		return 0, nil
	}
	others, err := f.others(ctx)
	if err != nil || len(others.digests) == 0 {
		return 0, err
	}
	grace := f.Streams.StarterTTL() / settleShare
	if len(others.differing(own, id)) > 0 {
		grace = Grace
	}
	until := stored.Add(grace)
	if answerBy != nil && answerBy.Before(until) {
		until = *answerBy
	}
	return min(max(0, until.Sub(time.Now().Add(others.ahead))), Grace), nil
}

// Differ reports whether another starter may have a file of a bot that a Set does not have, which the Set may get soon: the
// files do not differ in the same way for longer than Grace. The error reports that NATS cannot be asked.
func (f *Files) Differ(ctx context.Context, own *bot.Set, id schemas.BotID) (bool, error) {
	others, err := f.others(ctx)
	if err != nil {
		return false, err
	}
	differing := others.differing(own, id)
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	c := f.since[bot.DigestPart(id)].next(bot.DigestOf(own.Digest(), id), differing, now)
	f.since[bot.DigestPart(id)] = c
	return c.passing(now), nil
}

// differing returns the parts for a bot of the digests that differ from that of a Set. A starter of an earlier release does
// not announce a digest, and counts as one with the same files: every mistake would wait during an upgrade.
func (a announced) differing(own *bot.Set, id schemas.BotID) (parts []string) {
	for _, digest := range a.digests {
		if part := bot.DigestOf(digest, id); part != "" && part != bot.DigestOf(own.Digest(), id) {
			parts = append(parts, part)
		}
	}
	return parts
}

// others returns what the other starters have announced, as it was read a moment ago.
func (f *Files) others(ctx context.Context) (announced, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until) {
		return f.read, f.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout) // others read what this call has read
	defer cancel()
	f.read, f.err = f.list(ctx)
	f.until = time.Now().Add(f.Streams.StarterTTL() / readShare)
	return f.read, f.err
}

func (f *Files) list(ctx context.Context) (a announced, err error) {
	all, now, err := f.Streams.Starters(ctx)
	if err != nil {
		return a, err
	}
	if !now.IsZero() {
		a.ahead = time.Until(now)
	}
	delete(all, schemas.ConversationToken(f.Name)) // it may be older than the files in use
	a.digests = slices.Collect(maps.Values(all))
	return a, nil
}
