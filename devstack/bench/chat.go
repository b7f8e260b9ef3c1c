package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// chats measures whole conversations: each is new, has five steps, and is closed by the last.
func (r *rig) chats(ctx context.Context, d time.Duration) (measurement, error) {
	r.sink.delay.Store(0)
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	prefix := "chat-" + uuid.NewString()
	m, _, err := r.lives(ctx, inFlightMany, d, func(n int, done func(time.Duration)) error {
		return r.load.chat(ctx, fmt.Sprintf("%s-%d", prefix, n), func(_ int, took time.Duration) { done(took) })
	})
	return m, err
}

// chat runs one conversation from its first step to its close.
func (l *load) chat(ctx context.Context, conversation string, done func(step int, took time.Duration)) error {
	closed := l.awaitClose(conversation)
	for s := range chatSteps {
		name := stepLocal
		if s == chatSteps-1 {
			name = stepLast
		}
		took, err := l.step(ctx, conversation, name)
		if err != nil {
			return fmt.Errorf("step %d: %w", s+1, err)
		}
		done(s, took)
	}
	_, err := waitFor(ctx, replyTimeout, closed, "close of conversation "+conversation)
	return err
}

// lives drives whole lives of workflows, several steps each. The speed is that of a window; CPU is counted from the first
// step until the server has nothing left to do, because the end of a life costs work after its last step.
func (r *rig) lives(ctx context.Context, inFlight int, window time.Duration,
	life func(n int, done func(time.Duration)) error,
) (m measurement, lives int, err error) {
	var seen recorder
	var steps, begun atomic.Int64
	var failed error
	m, err = r.measured(func() (m measurement) {
		failed = during(ctx, inFlight, func(n int) error {
			begun.Add(1)
			return life(n, func(took time.Duration) { steps.Add(1); seen.add(took) })
		}, func(time.Duration) {}, func() { m = seen.window(ctx, window) })
		if failed == nil {
			failed = r.settle(ctx)
		}
		return m
	})
	m.overSteps = int(steps.Load())
	return m, int(begun.Load()), cmp.Or(failed, err)
}

// firstSteps measures chats one after another: what the first step of a conversation takes, the ones after it, and the
// last, which closes it.
func (r *rig) firstSteps(ctx context.Context, out io.Writer) error {
	const unloaded = 60
	bare, err := r.unloadedUpdates(ctx, unloaded*chatSteps)
	if err != nil {
		return err
	}
	prefix := "unloaded-" + uuid.NewString()
	var first, later, last measurement
	for n := range unloaded {
		err := r.load.chat(ctx, fmt.Sprintf("%s-%d", prefix, n), func(step int, took time.Duration) {
			switch step {
			case 0:
				first.latencies = append(first.latencies, took)
			case chatSteps - 1:
				last.latencies = append(last.latencies, took)
			default:
				later.latencies = append(later.latencies, took)
			}
		})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%d chats one after another, median: first step %s ms, later steps %s ms, last step %s ms; "+
		"first : later %.2f (target 2); a bare Update %s ms (target: a later step takes half a millisecond more)\n", unloaded,
		ms(first.quantile(0.5)), ms(later.quantile(0.5)), ms(last.quantile(0.5)),
		first.quantile(0.5).Seconds()/later.quantile(0.5).Seconds(), ms(bare.quantile(0.5)))
	return nil
}

// unloadedUpdates measures Updates of one workflow with a no-op handler, one after another.
func (r *rig) unloadedUpdates(ctx context.Context, n int) (m measurement, err error) {
	stop, err := r.yardWorker()
	if err != nil {
		return m, err
	}
	defer stop()
	id := uuid.NewString()
	if err := r.updateWithStart(ctx, limitWorkflow, id); err != nil {
		return m, err
	}
	for range n {
		began := time.Now()
		if err := r.updateBare(ctx, id); err != nil {
			return m, err
		}
		m.latencies = append(m.latencies, time.Since(began))
	}
	return m, r.temporal.TerminateWorkflow(ctx, id, "", "measured")
}
