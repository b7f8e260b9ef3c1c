package recovery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// tenantsMax is how many tenants' runs are handed over at the same time, one run of each.
const tenantsMax = 8

// handOver hands over what is left of the pending runs that are due. The runs of one tenant do not delay those of another,
// and those of one workflow go in the order in which they ended: a later one waits for the earlier one.
func (p *progress) handOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	tenants := map[string]map[string][]*endedRun{}
	for _, run := range p.pending {
		if tenants[run.key.Tenant] == nil {
			tenants[run.key.Tenant] = map[string][]*endedRun{}
		}
		of := tenants[run.key.Tenant]
		of[run.workflow] = append(of[run.workflow], run)
	}
	var mu sync.Mutex
	var failed failures
	working := errgroup.Group{}
	working.SetLimit(tenantsMax)
	for _, workflows := range tenants {
		working.Go(func() error {
			done, failures := p.tenant(ctx, workflows)
			mu.Lock()
			defer mu.Unlock()
			failed.add(failures)
			for _, run := range done {
				delete(p.pending, run.run)
			}
			return nil
		})
	}
	_ = working.Wait() // what failed is in failed
	return failed.err()
}

// tenant hands over what is left of one tenant's runs, and returns those that are finished. Runs with fewer tries come
// first: a few that take the whole time of each try do not keep the others from theirs.
func (p *progress) tenant(ctx context.Context, workflows map[string][]*endedRun) (done []*endedRun, failed failures) {
	queues := make([][]*endedRun, 0, len(workflows))
	for _, runs := range workflows {
		slices.SortFunc(runs, func(a, b *endedRun) int { return a.closed.Compare(b.closed) })
		queues = append(queues, runs)
	}
	slices.SortFunc(queues, func(a, b []*endedRun) int {
		return cmp.Or(cmp.Compare(a[0].tries.Count, b[0].tries.Count), a[0].closed.Compare(b[0].closed))
	})
	for _, runs := range queues {
		for _, run := range runs {
			if ctx.Err() != nil || time.Now().Before(run.next) {
				break
			}
			if err := p.recoverRun(ctx, run); err != nil {
				run.failed(time.Now(), err)
				failed.add(failures{1, fmt.Errorf("recover run %s of %s: %w", run.run, run.workflow, err)})
				break
			}
			done = append(done, run)
		}
	}
	return done, failed
}

// failures are how many runs failed, and why the first of them.
type failures struct {
	count int
	first error
}

func (f *failures) add(more failures) {
	f.count += more.count
	f.first = cmp.Or(f.first, more.first)
}

func (f *failures) err() error {
	if f.count > 1 {
		return fmt.Errorf("%w; and %d more", f.first, f.count-1)
	}
	return f.first
}
