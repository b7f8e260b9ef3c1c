package jq

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const endless = `def f: f; f`

// newPool returns a pool that waits until a busy machine gets to its runs.
func newPool(t *testing.T, processes int) *Pool {
	t.Helper()
	p := NewPool(processes)
	p.Wait, p.Longest = time.Minute, time.Minute
	t.Cleanup(p.Close)
	return p
}

// TestPool_OneTenantHasHalf has one tenant send endless programs without a pause, each of them another one: the
// programs of another tenant find a process each time.
func TestPool_OneTenantHasHalf(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	var stop atomic.Bool
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for n := 0; !stop.Load(); n++ {
				_, err := p.Run("greedy", strings.Repeat(" ", n)+endless, nil)
				if err == nil {
					t.Error("an endless program has ended")
				}
			}
		})
	}
	require.Eventually(t, func() bool { return p.shares.users("greedy") == 8 }, time.Minute, time.Millisecond)
	for range 20 {
		got, err := p.Run("acme", ".a", []byte(`{"a":7}`))
		require.NoError(t, err)
		require.Equal(t, "7", string(got))
		require.LessOrEqual(t, p.shares.running("greedy"), 1, "half of the processes")
	}
	stop.Store(true)
	flood.Wait()
}

func (s *shares) users(tenant string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenant]; t != nil {
		return t.users
	}
	return 0
}

func (s *shares) running(tenant string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenant]; t != nil {
		return len(t.slots)
	}
	return 0
}

// TestPool_TooManyWait ends a tenant's run at once when so many of it wait already.
func TestPool_TooManyWait(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	for range waitingMax {
		require.NotNil(t, p.shares.enter("greedy"))
	}
	_, err := p.Run("greedy", ".", []byte(`1`))
	require.ErrorIs(t, err, ErrBusy)
	_, err = p.Run("acme", ".", []byte(`1`))
	require.NoError(t, err)
	for range waitingMax {
		p.shares.leave("greedy")
	}
	_, err = p.Run("greedy", ".", []byte(`1`))
	require.NoError(t, err)
	require.Empty(t, p.shares.tenants, "tenants without runs are removed")
}

// TestPool_ProcessDoesNotStart: a process that cannot be started is not the program's fault, and the next run tries again.
func TestPool_ProcessDoesNotStart(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	var results []string
	p.Observe = func(_, result string) { results = append(results, result) }
	p.begin = func() (*process, error) { return nil, errors.New("fork/exec /opt/worker: out of memory") }
	for range 3 {
		_, err := p.Run("acme", ".", []byte(`1`))
		require.ErrorIs(t, err, ErrBusy)
		require.EqualError(t, err, "no process could be started to run the program")
		require.ErrorContains(t, errors.Unwrap(err), "out of memory", "for the worker's log")
		var busy interface{ Busy() bool }
		require.ErrorAs(t, err, &busy)
		require.True(t, busy.Busy())
	}
	p.begin = start
	_, err := p.Run("acme", ".", []byte(`1`))
	require.NoError(t, err)
	require.Equal(t, []string{"busy", "busy", "busy", "ok"}, results)
}

// TestPool_RepeatedTimeoutsDenied runs an endless program until it is denied: for its tenant only, and other programs
// run.
func TestPool_RepeatedTimeoutsDenied(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	var mu sync.Mutex
	results := map[string]int{}
	p.Observe = func(tenant, result string) {
		mu.Lock()
		defer mu.Unlock()
		results[tenant+" "+result]++
	}
	for strikes := 0; strikes < strikesMax; strikes++ {
		_, err := p.Run("acme", endless, nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrDenied)
		if errors.Is(err, ErrBusy) { // the machine did not get to it: a result that begins the count again
			strikes = -1
			mu.Lock()
			clear(results)
			mu.Unlock()
		}
	}
	_, err := p.Run("acme", endless, nil)
	require.ErrorIs(t, err, ErrDenied)
	require.Regexp(t, `it is tried again in \d+s`, err.Error())
	_, err = p.Run("acme", ".", []byte(`1`))
	require.NoError(t, err, "another program")
	_, err = p.Run("zeta", endless, nil)
	require.NotErrorIs(t, err, ErrDenied, "another tenant")
	require.Equal(t, 1, results["acme denied"])
	require.Equal(t, strikesMax, results["acme timeout"]+results["acme memory"])
	require.Equal(t, 1, results["acme ok"])
}

func TestDenials(t *testing.T) {
	t.Parallel()
	d, k, now := newDenials(), keyOf("acme", "."), time.Unix(1000, 0)
	strike := func() { d.note(k, ErrTimeout, now) }
	strike()
	strike()
	d.note(k, ErrFailed, now)
	strike()
	strike()
	require.NoError(t, d.check(k, now), "a run within the bounds in between")
	d.note(k, ErrMemory, now)
	require.ErrorIs(t, d.check(k, now.Add(denyFirst-time.Second)), ErrDenied)
	require.NoError(t, d.check(k, now.Add(denyFirst)), "it has another try")
	strike()
	require.ErrorIs(t, d.check(k, now.Add(2*denyFirst-time.Second)), ErrDenied, "the next time is longer")
	for range 20 {
		strike()
	}
	require.ErrorIs(t, d.check(k, now.Add(denyMost-time.Second)), ErrDenied)
	require.NoError(t, d.check(k, now.Add(denyMost)))
	d.note(k, nil, now)
	require.NoError(t, d.check(k, now))
	require.Empty(t, d.records)
	for n := range recordsMax + 10 {
		d.note(keyOf("acme", string(rune(n))), ErrTimeout, now)
	}
	require.LessOrEqual(t, len(d.records), recordsMax)
}

// stopped returns a pool whose only process is stopped, as one that gets no processor.
func stopped(t *testing.T) (p *Pool, process *os.Process) {
	t.Helper()
	p = newPool(t, 1)
	_, err := p.Run("acme", ".", []byte(`1`))
	require.NoError(t, err)
	slot := <-p.slots
	p.slots <- slot
	require.NoError(t, slot.cmd.Process.Signal(syscall.SIGSTOP))
	return p, slot.cmd.Process
}

// TestPool_BusyMachine: a program has 250 ms of the processor, however much time passes.
func TestPool_BusyMachine(t *testing.T) {
	t.Parallel()
	p, process := stopped(t)
	time.AfterFunc(3*runTimeout, func() { _ = process.Signal(syscall.SIGCONT) })
	got, err := p.Run("acme", ".a", []byte(`{"a":7}`))
	require.NoError(t, err)
	require.Equal(t, "7", string(got))
}

// TestPool_ProcessStandsStill: a run that does not go on is not the program's fault, and another process takes its place.
func TestPool_ProcessStandsStill(t *testing.T) {
	t.Parallel()
	p, _ := stopped(t)
	p.Longest = time.Second
	_, err := p.Run("acme", ".", []byte(`1`))
	require.ErrorIs(t, err, ErrBusy)
	require.Empty(t, p.denials.records)
	p.Longest = time.Minute
	_, err = p.Run("acme", ".", []byte(`1`))
	require.NoError(t, err)
}

func TestWatch_Judge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		used, passed time.Duration
		slow         bool
		status       int
	}{
		{0, runTimeout, false, 0},
		{runTimeout - 1, patience, false, 0},
		{runTimeout, runTimeout, true, 0},
		{2*runTimeout - 1, patience, true, 0},
		{2 * runTimeout, 2 * runTimeout, true, exitSlow},
		{0, 2 * patience, false, 1},
	} {
		slow, status := judge(c.used, c.passed, patience)
		require.Equal(t, c.slow, slow, c)
		require.Equal(t, c.status, status, c)
	}
}

// TestRun_ProcessEnded: a process that ends itself names the reason by its status.
func TestRun_ProcessEnded(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{exitSlow: ErrTimeout, 2: ErrMemory} {
		childIn, in, err := os.Pipe()
		require.NoError(t, err)
		out, childOut, err := os.Pipe()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprint("exit ", status))
		cmd.Stdin, cmd.Stdout = childIn, childOut
		require.NoError(t, cmd.Start())
		require.NoError(t, childIn.Close())
		require.NoError(t, childOut.Close())
		_, slot, err := run(&process{cmd: cmd, in: in, out: out}, ".", nil, time.Minute)
		require.ErrorIs(t, err, want)
		require.Nil(t, slot)
	}
}
