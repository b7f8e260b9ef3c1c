package bench

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// stageNames are the parts of a step, as the engine and the endpoint see them.
var stageNames = [...]string{
	"publish the event, until NATS has stored it", "until the endpoint has the request", "until the engine has the reply",
}

// stages are the parts of many steps. A nil one records nothing.
type stages struct {
	mu   sync.Mutex
	took [len(stageNames)]measurement
}

func (s *stages) add(took ...time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, d := range took {
		s.took[i].latencies = append(s.took[i].latencies, d)
	}
}

// printStages prints where the time of the quiet tenant's steps goes in each phase.
func printStages(out io.Writer, phases []*phase) {
	fmt.Fprint(out, "\n| p50 and p99 ms of a quiet step's part |")
	for _, p := range phases {
		fmt.Fprintf(out, " %s |", p.name)
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("---|", len(phases)))
	for i, name := range stageNames {
		fmt.Fprintf(out, "| %s |", name)
		for _, p := range phases {
			fmt.Fprintf(out, " %s, %s |", ms(p.stages.took[i].quantile(0.5)), ms(p.stages.took[i].quantile(0.99)))
		}
		fmt.Fprintln(out)
	}
}
