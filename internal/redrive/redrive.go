// Package redrive repeats many events: dead letters under their own ids, steps that ended badly under new ones. It publishes
// one event at a time, in the order of the stream and so of each conversation, at a bounded rate, with the configuration
// and the secrets of now. A redrive that was interrupted continues where it was when it is started again with the same
// filter: its progress is stored, and an event that was published twice is stored or handled once. Events whose latest
// useful moment is over are left out.
package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/store"
)

// Reasons for leaving an event out.
const (
	LeftExpired = "expired"               // its latest useful moment is over
	LeftSubject = "bad_subject"           // it has no valid subject under which it could be published
	LeftHistory = "history_gone"          // Temporal does not keep the run with the event any more
	LeftQueued  = "background"            // its queue was full: the end of a queued step has no second reply
	LeftGone    = "not_there_now"         // it was replayed or deleted meanwhile
	LeftKnown   = "known_to_conversation" // its conversation has answered it and would not do so again
)

// Progress is how far a redrive has come.
type Progress struct {
	ID       string         `json:"id"`
	Filter   string         `json:"filter"`
	Started  time.Time      `json:"started"`
	Updated  time.Time      `json:"updated"`
	After    uint64         `json:"after"`    // the sequences up to this one are done
	UpTo     uint64         `json:"up_to"`    // the last one that existed at the start: what fails again is left
	Done     map[string]int `json:"done"`     // published, by reason
	LeftOut  map[string]int `json:"left_out"` // by reason
	Doing    *doing         `json:"doing,omitempty"`
	Finished bool           `json:"finished"`
	Resumed  bool           `json:"resumed,omitempty"` // this run continues an interrupted one
}

// doing is the event that is being repeated. After a kill nothing else shows whether it was.
type doing struct {
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason"`
}

// Total returns the sum of counts.
func Total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// leftOutCount is the first part of the names of counts of what was left out, in audit events.
const leftOutCount = "left_out_"

// Counts returns how far a redrive has come, as its audit event has it; nothing of a nil Progress.
func (p *Progress) Counts() map[string]int {
	counts := map[string]int{}
	if p != nil {
		maps.Copy(counts, p.Done)
		for reason, n := range p.LeftOut {
			counts[leftOutCount+reason] = n
		}
	}
	return counts
}

// item is one event to repeat.
type item struct {
	sequence uint64
	reason   string // for the counts
	// publish repeats it; left is the reason for leaving it out.
	publish func(ctx context.Context, p *Progress) (left string, err error)
}

// Options are the options of a redrive.
type Options struct {
	Rate   float64                                                                  // events a second
	Retry  func(ctx context.Context, request func(ctx context.Context) error) error // repeats what a busy server rejects
	Stored *store.Redrives
	// Each is called after each event, for the audit: its sequence, and why it was left out.
	Each func(sequence uint64, left string)
}

// run repeats items one after another. It begins, or continues an interrupted redrive of the same filter.
func run(
	ctx context.Context, o Options, filter string, last uint64,
	items func(ctx context.Context, p *Progress) ([]item, error),
) (*Progress, error) {
	p := &Progress{}
	var found bool
	err := o.Retry(ctx, func(ctx context.Context) (err error) {
		found, err = o.Stored.Get(ctx, filter, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.Resumed = found && !p.Finished; !p.Resumed {
		p = &Progress{
			ID: uuid.NewString(), Filter: filter, Started: time.Now().UTC(), UpTo: last,
			Done: map[string]int{}, LeftOut: map[string]int{},
		}
	}
	if err := p.save(ctx, o); err != nil {
		return nil, err
	}
	limiter := rate.NewLimiter(rate.Limit(o.Rate), 1)
	for {
		page, err := items(ctx, p)
		if err != nil {
			return p, errors.Join(err, p.save(context.WithoutCancel(ctx), o))
		}
		p.settle(page)
		if len(page) == 0 {
			p.Finished = true
			return p, p.save(ctx, o)
		}
		for _, it := range page {
			if err := it.repeat(ctx, o, limiter, p); err != nil {
				return p, errors.Join(err, p.save(context.WithoutCancel(ctx), o))
			}
		}
	}
}

// settle counts the event in which the redrive was killed, when what is left to do shows that it was repeated.
func (p *Progress) settle(left []item) {
	if d := p.Doing; d != nil && (len(left) == 0 || left[0].sequence != d.Sequence) {
		p.Done[d.Reason]++
		p.After, p.Doing = d.Sequence, nil
	}
}

func (it item) repeat(ctx context.Context, o Options, limiter *rate.Limiter, p *Progress) error {
	if err := limiter.Wait(ctx); err != nil {
		return err
	}
	p.Doing = &doing{Sequence: it.sequence, Reason: it.reason}
	if err := p.save(ctx, o); err != nil {
		return err
	}
	var left string
	err := o.Retry(ctx, func(ctx context.Context) (err error) {
		left, err = it.publish(ctx, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("repeat event of sequence %d: %w", it.sequence, err)
	}
	if left == "" {
		p.Done[it.reason]++
	} else {
		p.LeftOut[left]++
	}
	p.After, p.Doing = it.sequence, nil
	o.Each(it.sequence, left)
	return nil
}

func (p *Progress) save(ctx context.Context, o Options) error {
	p.Updated = time.Now().UTC()
	return o.Retry(ctx, func(ctx context.Context) error { return o.Stored.Put(ctx, p.Filter, p) })
}
