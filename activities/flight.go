package activities

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/stack"
	"github.com/hookturn/hookturn/internal/step"
)

// An attempt outlives the activity that began it: the server may lose the activity's task (a stall, an overloaded machine)
// while the endpoint still works on the request, and then runs the activity again. What runs again in this process joins the
// attempt that is under way, or takes the answer that came. The endpoint sees one request.

const (
	// endedFor is how long an attempt that has ended is kept for a repetition of its activity.
	endedFor = 5 * time.Minute
	// endedMax bounds the bytes of the attempts that are kept; the oldest ones go first.
	endedMax = 32 << 20
	// endedCount bounds their number.
	endedCount = 64 << 10
)

// errStopped is the cause of the end of an attempt whose worker stops.
var errStopped = errors.New("the worker stops")

// attemptKey names one attempt. The run of a background queue has events of many conversations, whose ids may be
// equal; tenant and bot are part of the run.
type attemptKey struct {
	run, conversation, event string
	n                        int
}

func keyOf(ctx context.Context, conversation, event string, n int) attemptKey {
	return attemptKey{run: activity.GetInfo(ctx).WorkflowExecution.RunID, conversation: conversation, event: event, n: n}
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
	kept    *simplelru.LRU[attemptKey, *flight[T]]
	bytes   int
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
	f, _ := fs.kept.Peek(key)
	return f
}

// join returns the attempt that a key names. When there is none it begins with do, whose context is independent of the
// activity's and ends only when the attempt is stopped. A panic in do is logged, and ends the attempt with failed.
func (fs *flights[T]) join(
	ctx context.Context, log *slog.Logger, key attemptKey, do func(context.Context, *flight[T]) T, failed T,
) *flight[T] {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.findLocked(key); f != nil {
		return f
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
		fs.kept, _ = simplelru.NewLRU(endedCount, func(_ attemptKey, old *flight[T]) { fs.bytes -= old.bytes })
	}
	f.ended = time.Now()
	fs.kept.Add(key, f)
	fs.bytes += f.bytes
	for {
		_, oldest, ok := fs.kept.GetOldest()
		if !ok || fs.bytes <= endedMax && f.ended.Sub(oldest.ended) < endedFor {
			return
		}
		fs.kept.RemoveOldest()
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
