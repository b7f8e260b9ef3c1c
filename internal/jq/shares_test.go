package jq

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const endless = `def f: f; f`

// TestPool_OneTenantHasHalf has one tenant send endless programs without a pause, each of them another one: the
// programs of another tenant find a process each time.
func TestPool_OneTenantHasHalf(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	t.Cleanup(p.Close)
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
	p := NewPool(1)
	t.Cleanup(p.Close)
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

// TestPool_RepeatedTimeoutsDenied runs an endless program until it is denied: for its tenant only, and other programs
// run.
func TestPool_RepeatedTimeoutsDenied(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	t.Cleanup(p.Close)
	var mu sync.Mutex
	results := map[string]int{}
	p.Observe = func(tenant, result string) {
		mu.Lock()
		defer mu.Unlock()
		results[tenant+" "+result]++
	}
	for range strikesMax {
		_, err := p.Run("acme", endless, nil)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrDenied)
	}
	_, err := p.Run("acme", endless, nil)
	require.ErrorIs(t, err, ErrDenied)
	require.ErrorContains(t, err, "it is tried again in 30s")
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
