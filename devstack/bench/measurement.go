package bench

import (
	"cmp"
	"slices"
	"time"
)

// measurement is what one row gave.
type measurement struct {
	latencies []time.Duration
	took      time.Duration
	cpu       usage
	overSteps int // the steps that used the CPU, 0: those of latencies
}

func (m measurement) steps() int { return len(m.latencies) }

func (m measurement) rate() float64 { return float64(m.steps()) / m.took.Seconds() }

// cpuSteps is the number of steps that used the CPU.
func (m measurement) cpuSteps() int { return cmp.Or(m.overSteps, m.steps()) }

// cpuPerStep is what all processes together used for a step.
func (m measurement) cpuPerStep() time.Duration {
	var total time.Duration
	for name := range m.cpu {
		total += m.cpu.perStep(name, m.cpuSteps())
	}
	return total
}

// quantile is a latency by its share of faster ones, from 0 to 1.
func (m measurement) quantile(q float64) time.Duration {
	if len(m.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(m.latencies))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
