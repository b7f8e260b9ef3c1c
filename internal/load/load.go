// Package load measures whether this process can accept more work and still send its heartbeats in time. It measures how
// late timers fire, how long the server takes to answer a heartbeat, and how much of the memory limit is used.
package load

import (
	"context"
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// LagMax is the smoothed timer lag above which the process is overloaded.
	LagMax = 100 * time.Millisecond
	// TaskReportMax is the smoothed duration of a report above which a worker accepts no more workflow tasks, which the
	// server gives up after 2 s.
	TaskReportMax = 500 * time.Millisecond
	// ActivityReportMax is the same for activities, whose heartbeat timeout grows with the duration of reports.
	ActivityReportMax = 1500 * time.Millisecond
	// pendingFactor times such a duration is how long one report may be pending.
	pendingFactor = 2
	// ShortestPause is the shortest time without a measurement that counts as a pause of the process. The server gives up a
	// workflow task of a worker that stands still for 2 s.
	ShortestPause = 1500 * time.Millisecond
	// MemoryMax is the share of the memory limit that may be used.
	MemoryMax = 0.8

	tick   = 25 * time.Millisecond // between two measurements
	smooth = time.Second           // time constant of both averages
)

// Monitor measures one process. The zero value reports no load; Run updates it.
type Monitor struct {
	mu      sync.Mutex
	lag     float64 // smoothed, in seconds
	report  float64 // smoothed, in seconds
	updated time.Time
	pending map[*time.Time]struct{}

	measured time.Time // when Run measured last; zero = it does not run
	pauses   int64     // that it has found

	memory func() (used, limit uint64)
	full   bool
}

// New returns a new Monitor with a memory limit in bytes; 0 = memory is not measured.
func New(limit uint64) *Monitor {
	return &Monitor{memory: func() (uint64, uint64) { return memoryUsed(), limit }}
}

// Run measures until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for last, n := time.Now(), 0; ; n++ {
		m.measuredAt(last)
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

// Pauses returns how often this process stood still so far: it was stopped, got no processor, or its machine slept. What it
// asked for before a pause and gets after it may be out of date.
func (m *Monitor) Pauses() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pausesUntil(time.Now())
}

func (m *Monitor) measuredAt(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pauses, m.measured = m.pausesUntil(now), now
}

// pausesUntil counts the present pause as well: after it, others may ask before Run measures.
func (m *Monitor) pausesUntil(now time.Time) int64 {
	// Only the wall clock goes on while a machine sleeps.
	since := max(now.Sub(m.measured), now.Round(0).Sub(m.measured.Round(0)))
	if m.measured.IsZero() || since < ShortestPause {
		return m.pauses
	}
	return m.pauses + 1
}

// Lagged records the lag of a timer with the given duration.
func (m *Monitor) Lagged(awaited, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lag = average(m.lag, max(lag, 0), awaited)
}

// Report starts to measure a report to the server, such as a heartbeat; done ends it.
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
		// A report is weighted by the time since the previous one, however many there are.
		since := smooth
		if !m.updated.IsZero() {
			since = now.Sub(m.updated)
		}
		m.report, m.updated = average(m.report, now.Sub(began), max(since, time.Millisecond)), now
	}
}

// High reports whether the process is overloaded and should not accept more work whose reports may take reportMax.
func (m *Monitor) High(reportMax time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full || m.lag > LagMax.Seconds() {
		return true
	}
	now := time.Now()
	for began := range m.pending {
		if now.Sub(*began) > pendingFactor*reportMax {
			return true
		}
	}
	return m.reportTime(now) > reportMax.Seconds()
}

// ReportTime returns the smoothed duration of a report to the server; 0 without recent ones.
func (m *Monitor) ReportTime() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.reportTime(time.Now()) * float64(time.Second))
}

// reportTime returns the smoothed duration in seconds. The weight of the latest report decays with time.
func (m *Monitor) reportTime(now time.Time) float64 {
	return m.report * math.Exp(-now.Sub(m.updated).Seconds()/smooth.Seconds())
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

// average returns a smoothed value in seconds after a new value that was measured over a duration.
func average(old float64, value, over time.Duration) float64 {
	return old + (value.Seconds()-old)*(1-math.Exp(-over.Seconds()/smooth.Seconds()))
}

// memoryUsed returns the memory that the Go runtime holds, without what it returned to the system.
func memoryUsed() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
