package activities

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

// An attempt outlives the activity that began it: the server may lose the activity's task (a stall, an overloaded machine)
// while the endpoint still works on the request, and then runs the activity again. What runs again in this process joins the
// attempt that is under way, or takes the answer that came. The endpoint sees one request.

const (
	// endedFor is how long an attempt that has ended is kept for a repetition of its activity.
	endedFor = 5 * time.Minute
	// endedSweep is the shortest time between two removals of those that are older.
	endedSweep = 10 * time.Second
	// endedMax bounds the bytes of the attempts that are kept; the oldest ones of the tenant with the most go first.
	endedMax = 32 << 20
	// endedBytes is what an attempt takes at least, which bounds their number.
	endedBytes = 512
)

// errStopped is the cause of the end of an attempt whose worker stops.
var errStopped = errors.New("the worker stops")

// attemptKey names one attempt. The run of a background queue has events of many conversations, whose ids may be
// equal; tenant and bot are part of the run.
type attemptKey struct {
	tenant, run, conversation, event string
	n                                int
}

func keyOf(ctx context.Context, tenant, conversation, event string, n int) attemptKey {
	run := activity.GetInfo(ctx).WorkflowExecution.RunID
	return attemptKey{tenant: tenant, run: run, conversation: conversation, event: event, n: n}
}

// flight is one attempt, under way or ended. T is what it results in.
type flight[T any] struct {
	done chan struct{}
	stop context.CancelCauseFunc

	mu       sync.Mutex
	progress step.Progress

	result T         // once done is closed
	keep   bool      // a repetition must use the result
	bytes  int       // roughly what the result takes
	ended  time.Time // when
}

// begin passes the progress of the attempt to heartbeats.
func (f *flight[T]) begin(p step.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress = p
}

// far returns how far the attempt has come.
func (f *flight[T]) far() step.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress
}

// flights are the attempts of this process. The zero value is ready.
type flights[T any] struct {
	mu      sync.Mutex
	running map[attemptKey]*flight[T]
	kept    *tenantcache.Cache[attemptKey, *flight[T]]
	sweeps  bool // sweep runs when the oldest one is too old
	stopped bool // no attempt begins
}

// find returns the attempt that a key names, nil when this process did not make it, or has forgotten it.
func (fs *flights[T]) find(key attemptKey) *flight[T] {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.findLocked(key)
}

func (fs *flights[T]) findLocked(key attemptKey) *flight[T] {
	if f, ok := fs.running[key]; ok {
		return f
	}
	if fs.kept == nil {
		return nil
	}
	f, known := fs.kept.Peek(key.tenant, key)
	if !known || time.Since(f.ended) >= endedFor {
		return nil
	}
	return f
}

// join returns the attempt that a key names. When there is none it begins with do, whose context is independent of the
// activity's and ends only when the attempt is stopped. A panic in do is logged, and ends the attempt with failed. After
// beginNone none begins: then it returns nil.
func (fs *flights[T]) join(
	ctx context.Context, log *slog.Logger, key attemptKey, do func(context.Context, *flight[T]) T, failed T,
) *flight[T] {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.findLocked(key); f != nil {
		return f
	}
	if fs.stopped {
		return nil
	}
	if fs.running == nil {
		fs.running = map[attemptKey]*flight[T]{}
	}
	attempt, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight[T]{done: make(chan struct{}), stop: stop}
	fs.running[key] = f
	go func() {
		stack.Grow()
		defer fs.end(key, f)
		defer func() {
			if p := recover(); p != nil {
				log.ErrorContext(ctx, "attempt panicked", "event", key.event, "panic", p, "stack", string(debug.Stack()))
				f.result = failed
			}
		}()
		f.result = do(attempt, f)
	}()
	return f
}

func (fs *flights[T]) end(key attemptKey, f *flight[T]) {
	f.stop(nil)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	close(f.done)
	delete(fs.running, key)
	if !f.keep {
		return
	}
	if fs.kept == nil {
		fs.kept = tenantcache.NewWith[attemptKey](endedMax, tenantcache.Options[*flight[T]]{
			Weight: func(f *flight[T]) int { return max(f.bytes, endedBytes) },
		})
	}
	f.ended = time.Now()
	fs.kept.Put(key.tenant, key, f)
	if !fs.sweeps {
		fs.sweeps = true
		time.AfterFunc(endedFor, fs.sweep)
	}
}

// sweep removes the attempts that were kept for long enough, of idle tenants as well: results have data of users.
func (fs *flights[T]) sweep() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	now, left := time.Now(), endedFor
	fs.kept.RemoveOldest(func(oldest *flight[T]) bool {
		age := now.Sub(oldest.ended)
		left = min(left, endedFor-age)
		return age >= endedFor
	})
	if fs.sweeps = fs.kept.Len() > 0; fs.sweeps {
		time.AfterFunc(max(left, endedSweep), fs.sweep)
	}
}

// beginNone lets no attempt begin from here on.
func (fs *flights[T]) beginNone() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.stopped = true
}

// stopAll waits until the attempts that are under way have ended. When ctx ends first, it stops them.
func (fs *flights[T]) stopAll(ctx context.Context) {
	fs.mu.Lock()
	running := slices.Collect(maps.Values(fs.running))
	fs.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		for _, f := range running {
			f.stop(errStopped)
		}
	})()
	for _, f := range running {
		<-f.done
	}
}

// wait returns the result of an attempt. The end of the activity's context ends the attempt in two cases only: the workflow
// asked for it, or the worker stops. A heartbeat that did not reach the server, or a task that the server has given up, does
// not: the server runs the activity again, and that finds the attempt or its result.
func (f *flight[T]) wait(ctx context.Context) T {
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
