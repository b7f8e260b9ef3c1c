// Package load measures whether this process can take on more work and still do in time what it has begun: report to the
// servers that it lives. It asks three things of the process itself, whatever the reason is: how late its timers fire, how
// long the server takes to answer its reports, and how much of its memory is used.
package load

import (
	"context"
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// LagMax is the smoothed lateness of timers above which the process is overloaded: a tenth of what a heartbeat may be late.
	LagMax = 100 * time.Millisecond
	// ReportMax is the smoothed time of a report to the server above which the server, or the way to it, is overloaded.
	ReportMax = 500 * time.Millisecond
	// PendingMax is how long a single report may be under way before the server counts as overloaded.
	PendingMax = time.Second
	// MemoryMax is the share of the memory limit that may be used.
	MemoryMax = 0.8

	tick   = 25 * time.Millisecond // between two looks at the clock
	smooth = time.Second           // time constant of both averages
)

// Monitor measures one process. Its zero value knows of no load; Run keeps it up to date.
type Monitor struct {
	mu      sync.Mutex
	lag     float64 // smoothed, in seconds
	report  float64 // smoothed, in seconds
	updated time.Time
	pending map[*time.Time]struct{}

	memory func() (used, limit uint64)
	full   bool
}

// New returns a new Monitor with a memory limit in bytes; 0 means that memory is not looked at.
func New(limit uint64) *Monitor {
	return &Monitor{memory: func() (uint64, uint64) { return memoryUsed(), limit }}
}

// Run measures until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for last, n := time.Now(), 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		m.Lagged(now.Sub(last), now.Sub(last)-tick)
		last = now
		if n%int(time.Second/tick) == 0 {
			m.lookAtMemory()
		}
	}
}

// Lagged takes the lateness of a timer into account that was awaited for a time.
func (m *Monitor) Lagged(awaited, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lag = average(m.lag, max(lag, 0), awaited)
}

// Report measures a report to the server; done ends it.
func (m *Monitor) Report() (done func()) {
	began := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending == nil {
		m.pending = map[*time.Time]struct{}{}
	}
	m.pending[&began] = struct{}{}
	return func() {
		now := time.Now()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.pending, &began)
		// Reports come in any number: each counts for the time since the one before.
		since := smooth
		if !m.updated.IsZero() {
			since = now.Sub(m.updated)
		}
		m.report, m.updated = average(m.report, now.Sub(began), max(since, time.Millisecond)), now
	}
}

// High reports whether the process should take on no more work for now.
func (m *Monitor) High() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full || m.lag > LagMax.Seconds() {
		return true
	}
	now := time.Now()
	for began := range m.pending {
		if now.Sub(*began) > PendingMax {
			return true
		}
	}
	// Without a newer report an old one says less and less.
	return m.report*math.Exp(-now.Sub(m.updated).Seconds()/smooth.Seconds()) > ReportMax.Seconds()
}

func (m *Monitor) lookAtMemory() {
	if m.memory == nil {
		return
	}
	used, limit := m.memory()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = limit > 0 && float64(used) > MemoryMax*float64(limit)
}

// average moves a smoothed value in seconds towards a new one that stands for a time.
func average(old float64, value, over time.Duration) float64 {
	return old + (value.Seconds()-old)*(1-math.Exp(-over.Seconds()/smooth.Seconds()))
}

// memoryUsed is what the Go runtime has from the system and has not given back.
func memoryUsed() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
