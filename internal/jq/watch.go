package jq

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// lookEvery is how often a run is looked at that has taken longer than runTimeout.
	lookEvery = runTimeout / 5
	// exitSlow is the status of a process whose program did not end with its context.
	exitSlow = 3
)

// watchdog bounds one run by the processor time that the process uses: the time that passes depends on how busy the machine
// is.
type watchdog struct {
	began   time.Time
	before  time.Duration
	longest time.Duration // how long the pool waits
	slow    context.CancelFunc
	over    atomic.Bool
}

// watch returns a context that ends when the run has used runTimeout of the processor. A run that goes on ends the process,
// and so does one whose pool has ended.
func watch(longest time.Duration) (ctx context.Context, stop func()) {
	w := &watchdog{began: time.Now(), before: processorTime(), longest: longest}
	ctx, w.slow = context.WithCancel(context.Background())
	first := time.AfterFunc(runTimeout, w.look)
	return ctx, func() {
		w.over.Store(true)
		first.Stop()
		w.slow()
	}
}

func (w *watchdog) look() {
	if w.over.Load() {
		return
	}
	slow, status := judge(processorTime()-w.before, time.Since(w.began), w.longest)
	if status != 0 {
		os.Exit(status)
	}
	if slow {
		w.slow()
	}
	time.AfterFunc(lookEvery, w.look)
}

// judge reports whether a run is too slow, by the processor time that it has used and the time that has passed, and returns
// the status with which its process must end, 0 for none. The pool waits for at most longest.
func judge(used, passed, longest time.Duration) (slow bool, status int) {
	switch {
	case used >= 2*runTimeout: // the program does not end with its context
		return true, exitSlow
	case passed >= 2*longest: // the pool has ended
		return false, 1
	}
	return used >= runTimeout, 0
}

// processorTime returns the processor time that the process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return time.Since(started)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var started = time.Now()
