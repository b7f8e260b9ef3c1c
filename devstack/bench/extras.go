package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// recovery measures how long the steps of a killed worker take: 64 steps wait for a slow endpoint, one of two workers is
// killed, and the last reply is awaited.
func (r *rig) recovery(ctx context.Context, out io.Writer) error {
	const inFlight, delay = 64, 500 * time.Millisecond
	second, err := r.spawnWorker()
	if err != nil {
		return err
	}
	defer second.stop()
	w := row{inFlight: inFlight, conversations: inFlight, step: stepLocal}
	r.sink.delay.Store(0)
	for range 4 { // until both workers hold conversations
		if _, err := r.load.open(ctx, "recovery", w); err != nil {
			return err
		}
	}
	r.sink.delay.Store(int64(delay))
	defer r.sink.delay.Store(0)
	before := r.sink.served.Load()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	for i := range inFlight {
		wg.Go(func() {
			if _, err := r.load.step(ctx, fmt.Sprintf("recovery-%d", i), stepLocal); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	for r.sink.served.Load() < before+inFlight { // all of them have reached the endpoint
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	killed := time.Now()
	_ = r.processes[worker].cmd.Process.Kill()
	wg.Wait()
	if failed != nil {
		return fmt.Errorf("after the kill: %w", failed)
	}
	fmt.Fprintf(out, "\na worker killed with %d steps in flight (endpoint %s): last reply %.1f s after the kill\n",
		inFlight, delay, time.Since(killed).Seconds())
	_ = r.processes[worker].cmd.Wait()
	r.processes[worker], err = r.spawnWorker()
	return err
}

// memory measures whether a worker's memory stays flat over many steps of the same conversations.
func (r *rig) memory(ctx context.Context, out io.Writer) error {
	const steps, quarters, conversations = 20_000, 4, 1000
	w := row{inFlight: 64, conversations: conversations, step: stepLocal}
	if _, err := r.load.open(ctx, "memory", w); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nworker memory over %d steps of %d conversations, resident MiB:", steps, conversations)
	for range quarters {
		if _, err := r.load.steps(ctx, "memory", w, steps/quarters); err != nil {
			return err
		}
		rss, err := residentMiB(r.processes[worker].cmd.Process.Pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, " %d", rss)
	}
	fmt.Fprintln(out)
	return nil
}

// residentMiB is the memory of a process, from /proc.
func residentMiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
