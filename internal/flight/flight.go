// Package flight lets an attempt outlive the activity that began it. The server may lose the task of an activity (a stall,
// an overloaded machine) while an endpoint or a script still works on the attempt, and then runs the activity again. The
// repetition joins the attempt when it comes to the same process, or takes the result that is there: the endpoint sees one
// request, and the script runs once.
package flight

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/stack"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/tenantcache"
)

const (
	// keptFor is how long an attempt that has ended is kept for a repetition of its activity.
	keptFor = 5 * time.Minute
	// sweepGap is the shortest time between two removals of those that are older.
	sweepGap = 10 * time.Second
	// keptBytes bounds the bytes of the attempts that are kept; the oldest ones of the tenant with the most go first.
	keptBytes = 32 << 20
	// leastBytes is what an attempt takes at least, which bounds their number.
	leastBytes = 512
)

// errStopped is the cause of the end of an attempt whose worker stops.
var errStopped = errors.New("the worker stops")

// Key names one attempt. The run of a background queue has events of many conversations, whose ids may be equal; tenant and
// bot are part of the run.
type Key struct {
	Tenant, Run, Conversation, Event string

	N int // of the attempt, from 1
}

// KeyOf returns the key of an attempt that the run of an activity makes.
func KeyOf(ctx context.Context, tenant, conversation, event string, n int) Key {
	run := activity.GetInfo(ctx).WorkflowExecution.RunID
	return Key{Tenant: tenant, Run: run, Conversation: conversation, Event: event, N: n}
}

// WorkflowOf returns the id of the workflow that an activity belongs to, "" outside of activities.
func WorkflowOf(ctx context.Context) string {
	if !activity.IsActivity(ctx) {
		return ""
	}
	return activity.GetInfo(ctx).WorkflowExecution.ID
}

// Flight is one attempt, under way or ended. T is its result.
type Flight[T any] struct {
	// Keep keeps the result for a repetition, which must use it, and Bytes is roughly what the result takes in memory.
	// Plan.Make sets both.
	Keep  bool
	Bytes int

	done   chan struct{}
	stop   context.CancelCauseFunc
	result T         // once done is closed
	ended  time.Time // when

	mu       sync.Mutex
	progress step.Progress
}

// SetProgress sets what heartbeats report of the attempt.
func (f *Flight[T]) SetProgress(p step.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress = p
}

// Progress returns what was last set by SetProgress.
func (f *Flight[T]) Progress() step.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress
}

// Done returns a channel that is closed when the attempt has ended.
func (f *Flight[T]) Done() <-chan struct{} { return f.done }

// Result returns the result of an attempt that has ended.
func (f *Flight[T]) Result() T { return f.result }

// Stop ends the context of the attempt with a cause.
func (f *Flight[T]) Stop(cause error) { f.stop(cause) }

// Group is the attempts of one kind that this process makes or has made. The zero value is ready.
type Group[T any] struct {
	mu      sync.Mutex
	running map[Key]*Flight[T]
	kept    *tenantcache.Cache[Key, *Flight[T]]
	sweeps  bool // sweep runs when the oldest one is too old
	closed  bool // no attempt begins
}

// Find returns the attempt of a key, nil when this process did not make it, or has forgotten it.
func (g *Group[T]) Find(key Key) *Flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.findLocked(key)
}

func (g *Group[T]) findLocked(key Key) *Flight[T] {
	if f, ok := g.running[key]; ok {
		return f
	}
	if g.kept == nil {
		return nil
	}
	f, known := g.kept.Peek(key.Tenant, key)
	if !known || time.Since(f.ended) >= keptFor {
		return nil
	}
	return f
}

// Plan is how an attempt is made.
type Plan[T any] struct {
	// Make makes the attempt, in a context that is independent of the activity's and ends only when the attempt is stopped.
	Make func(context.Context, *Flight[T]) T
	// Panicked is the result when Make panics, which is logged.
	Panicked T
	// Progress is what heartbeats report until Make sets another: the first one may be sent before Make runs, and a worker
	// that is lost then must not lose what earlier attempts have left. The zero value is for attempts without heartbeats.
	Progress step.Progress
}

// JoinOrStart returns the attempt of a key. When there is none, it starts one. After Close no attempt starts: then it
// returns nil.
func (g *Group[T]) JoinOrStart(ctx context.Context, log *slog.Logger, key Key, p Plan[T]) *Flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.findLocked(key); f != nil {
		return f
	}
	if g.closed {
		return nil
	}
	if g.running == nil {
		g.running = map[Key]*Flight[T]{}
	}
	attempt, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &Flight[T]{done: make(chan struct{}), stop: stop, progress: p.Progress}
	g.running[key] = f
	go func() {
		stack.Grow()
		defer g.end(key, f)
		defer func() {
			if cause := recover(); cause != nil {
				log.ErrorContext(ctx, "attempt panicked", "event", key.Event, "panic", cause, "stack", string(debug.Stack()))
				f.result = p.Panicked
			}
		}()
		f.result = p.Make(attempt, f)
	}()
	return f
}

func (g *Group[T]) end(key Key, f *Flight[T]) {
	f.stop(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	close(f.done)
	delete(g.running, key)
	if !f.Keep {
		return
	}
	if g.kept == nil {
		g.kept = tenantcache.NewWith[Key](keptBytes, tenantcache.Options[*Flight[T]]{
			Weight: func(f *Flight[T]) int { return max(f.Bytes, leastBytes) },
		})
	}
	f.ended = time.Now()
	g.kept.Put(key.Tenant, key, f)
	if !g.sweeps {
		g.sweeps = true
		time.AfterFunc(keptFor, g.sweep)
	}
}

// sweep removes the attempts that were kept for long enough, of idle tenants as well: results have data of users.
func (g *Group[T]) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, left := time.Now(), keptFor
	g.kept.RemoveOldest(func(oldest *Flight[T]) bool {
		age := now.Sub(oldest.ended)
		left = min(left, keptFor-age)
		return age >= keptFor
	})
	if g.sweeps = g.kept.Len() > 0; g.sweeps {
		time.AfterFunc(max(left, sweepGap), g.sweep)
	}
}

// Close lets no attempt start from here on.
func (g *Group[T]) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Drain waits until the attempts that are under way have ended. When ctx ends first, it stops them.
func (g *Group[T]) Drain(ctx context.Context) {
	g.mu.Lock()
	running := slices.Collect(maps.Values(g.running))
	g.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		for _, f := range running {
			f.stop(errStopped)
		}
	})()
	for _, f := range running {
		<-f.done
	}
}

// Wait returns the result of an attempt to an activity. The end of the activity's context ends the attempt in two cases
// only: the workflow asked for it, or the worker stops. A heartbeat that did not reach the server, or a task that the server
// has given up, does not: the server runs the activity again, and that finds the attempt or its result.
func (f *Flight[T]) Wait(ctx context.Context) T {
	select {
	case <-f.done:
		return f.result
	case <-ctx.Done():
	}
	if cause := stopCause(ctx); cause != nil {
		f.stop(cause)
	}
	<-f.done
	return f.result
}

// stopCause is why an attempt must end with the context of its activity; nil when it must not.
func stopCause(ctx context.Context) error {
	cause, asked := context.Cause(ctx), (*temporal.CanceledError)(nil)
	local := activity.GetInfo(ctx).IsLocalActivity
	switch {
	case errors.As(cause, &asked), local && cause == context.Canceled: //nolint:errorlint // what the SDK cancels with, itself
		return egress.ErrCancelled
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil
	}
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return errStopped
	default:
		return nil
	}
}
