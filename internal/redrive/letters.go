package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Count is what a redrive would do.
type Count struct {
	ByReason map[string]int `json:"by_reason"`
	LeftOut  map[string]int `json:"left_out"`
}

// lettersPage is how many dead letters are listed at a time.
const lettersPage = 500

// Letters repeats dead letters under the ids of their events.
type Letters struct {
	Stored *bus.DeadLetters
	Filter bus.DeadLetterFilter // After and Limit are not used
	// Known reports whether the conversation of a dead letter's event has answered it and still knows it.
	Known func(ctx context.Context, letter bus.DeadLetter) (bool, error)
}

// Count returns how many dead letters a redrive would publish, and leave out.
func (l *Letters) Count(ctx context.Context) (Count, error) {
	c := Count{ByReason: map[string]int{}, LeftOut: map[string]int{}}
	after := uint64(0)
	for {
		page, err := l.page(ctx, after)
		if err != nil {
			return c, err
		}
		if len(page) == 0 {
			return c, nil
		}
		for _, letter := range page {
			after = letter.Sequence
			left, err := l.leftOut(ctx, letter.Sequence)
			if err != nil {
				return c, err
			}
			if left == "" {
				c.ByReason[string(letter.Reason)]++
			} else {
				c.LeftOut[left]++
			}
		}
	}
}

// Run publishes the events of all dead letters that the filter chooses, and deletes those dead letters. name identifies the
// filter.
func (l *Letters) Run(ctx context.Context, o Options, name string) (*Progress, error) {
	last, err := l.Stored.Last(ctx)
	if err != nil {
		return nil, err
	}
	return run(ctx, o, "deadletters "+name, last, func(ctx context.Context, p *Progress) ([]item, error) {
		var page []bus.DeadLetter
		err := o.Retry(ctx, func(ctx context.Context) (err error) {
			page, err = l.page(ctx, p.After)
			return err
		})
		var items []item
		for _, letter := range page {
			if letter.Sequence <= p.UpTo {
				items = append(items, item{sequence: letter.Sequence, reason: string(letter.Reason), publish: l.replay(letter.Sequence)})
			}
		}
		return items, err
	})
}

func (l *Letters) page(ctx context.Context, after uint64) ([]bus.DeadLetter, error) {
	f := l.Filter
	f.After, f.Limit = after, lettersPage
	return l.Stored.List(ctx, f)
}

func (l *Letters) replay(seq uint64) func(context.Context, *Progress) (string, error) {
	return func(ctx context.Context, _ *Progress) (string, error) {
		left, err := l.leftOut(ctx, seq)
		if left != "" || err != nil {
			return left, err
		}
		if _, err = l.Stored.Replay(ctx, seq); errors.Is(err, bus.ErrNoDeadLetter) {
			return LeftGone, nil
		}
		return "", err
	}
}

// leftOut returns the reason why a dead letter cannot be replayed, "" when it can.
func (l *Letters) leftOut(ctx context.Context, seq uint64) (string, error) {
	letter, err := l.Stored.Show(ctx, seq)
	if errors.Is(err, bus.ErrNoDeadLetter) {
		return LeftGone, nil
	}
	if err != nil {
		return "", fmt.Errorf("look at dead letter %d: %w", seq, err)
	}
	if !letter.Replayable() {
		return LeftSubject, nil
	}
	until := letter.Expires
	document, _ := schemas.Document(letter.Header, letter.Data) // what is not an event has no attribute
	if e, err := schemas.DecodeEvent(document); err == nil && e.ExpiryTime != nil &&
		(until.IsZero() || e.ExpiryTime.Before(until)) {
		until = *e.ExpiryTime
	}
	if !until.IsZero() && time.Now().After(until) {
		return LeftExpired, nil
	}
	known, err := l.Known(ctx, letter)
	if err != nil {
		return "", fmt.Errorf("look whether the event of dead letter %d is known to its conversation: %w", seq, err)
	}
	if known {
		return LeftKnown, nil
	}
	return "", nil
}
