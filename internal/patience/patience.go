// Package patience bounds how long work goes on without a sign of life. A scan of many items takes as long as it takes; a
// server that does not answer ends it soon.
package patience

import (
	"context"
	"sync"
	"time"
)

// patient is a context that ends as one with a deadline does, with a deadline that moves.
type patient struct {
	context.Context

	outer context.Context
	limit time.Duration
	timer *time.Timer
	done  chan struct{}

	mu  sync.Mutex
	err error
}

type key struct{}

// Within returns a context that ends with context.DeadlineExceeded when a time has passed since it was made, or since the
// latest Renew of it or of a context made of it. Stop releases it.
func Within(ctx context.Context, limit time.Duration) (_ context.Context, stop context.CancelFunc) {
	p := &patient{outer: ctx, limit: limit, done: make(chan struct{})}
	p.Context = context.WithValue(ctx, key{}, p)
	p.mu.Lock() // the timer may end p before it is a member of p
	p.timer = time.AfterFunc(limit, func() { p.end(context.DeadlineExceeded) })
	p.mu.Unlock()
	release := context.AfterFunc(ctx, func() { p.end(ctx.Err()) })
	return p, func() {
		release()
		p.end(context.Canceled)
	}
}

// Done is closed when the context ends.
func (p *patient) Done() <-chan struct{} { return p.done }

// Err is why the context has ended.
func (p *patient) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *patient) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		p.timer.Stop()
		close(p.done)
	}
}

// Renew records that work got on. Without a context of Within it does nothing.
func Renew(ctx context.Context) {
	for p, ok := ctx.Value(key{}).(*patient); ok; p, ok = p.outer.Value(key{}).(*patient) {
		p.mu.Lock()
		if p.err == nil {
			p.timer.Reset(p.limit)
		}
		p.mu.Unlock()
	}
}
