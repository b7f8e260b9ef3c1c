package bench

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lead is how long a load runs before it is measured: until every step in flight has begun after another one's end.
const lead = 2 * time.Second

// drive keeps a number of steps in flight while more returns true, passes the latency of each to done, and waits for all
// steps. It returns the first error, after which no step starts.
func drive(inFlight int, more func(n int) bool, step func(n int) error, done func(took time.Duration)) error {
	var (
		next   atomic.Int64
		failed atomic.Bool
		once   sync.Once
		first  error
		wg     sync.WaitGroup
	)
	for range inFlight {
		wg.Go(func() {
			for !failed.Load() {
				n := int(next.Add(1)) - 1
				if !more(n) {
					return
				}
				begun := time.Now()
				if err := step(n); err != nil {
					once.Do(func() { first = err })
					failed.Store(true)
					return
				}
				done(time.Since(begun))
			}
		})
	}
	wg.Wait()
	return first
}

// steady drives a load and measures a window of it. What comes before the load runs evenly does not count, nor what is left
// when the last steps are awaited: a system whose steps take long would lose more by both than one whose steps are quick.
func (r *rig) steady(ctx context.Context, inFlight int, window time.Duration, step func(n int) error) (
	m measurement, err error,
) {
	var seen recorder
	failed := during(ctx, inFlight, step, seen.add, func() {
		m, err = r.measured(func() measurement { return seen.window(ctx, window) })
	})
	return m, cmp.Or(failed, err)
}

// during keeps a load running while watch is called, and waits for what is in flight then.
func during(ctx context.Context, inFlight int, step func(n int) error, done func(time.Duration), watch func()) error {
	var over atomic.Bool
	ended := make(chan error, 1)
	go func() { ended <- drive(inFlight, func(int) bool { return !over.Load() }, step, done) }()
	_ = wait(ctx, lead) // the load ends with ctx
	watch()
	over.Store(true)
	return <-ended
}

// wait waits for a time; it gives the context's error when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recorder keeps the latencies of the steps that end while it records.
type recorder struct {
	mu    sync.Mutex
	began time.Time // zero: it does not record
	m     measurement
}

func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Now()
}

func (r *recorder) add(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.began.IsZero() {
		r.m.latencies = append(r.m.latencies, took)
	}
}

// window records for a time.
func (r *recorder) window(ctx context.Context, d time.Duration) measurement {
	r.begin()
	_ = wait(ctx, d)
	return r.end()
}

func (r *recorder) end() measurement {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m.took, r.began = time.Since(r.began), time.Time{}
	return r.m
}
