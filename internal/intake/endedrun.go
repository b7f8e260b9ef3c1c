package intake

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// recoverTenants is how many tenants' runs are handed over at the same time, one run of each.
	recoverTenants = 8
	// recoverGiveUp is how long a run is tried before its events are given up, where neither Temporal nor NATS is to blame.
	recoverGiveUp = 10 * time.Minute
	// recoverRetryMax is the longest time between two tries of a run.
	recoverRetryMax = 2 * time.Minute
)

// endedRun is a run that ended early, and what was tried with it.
type endedRun struct {
	workflow, run string
	key           schemas.ConversationKey // by workflow id and search attribute; the conversation is "" when not known
	status        string
	begun, closed time.Time
	tries         int
	first, next   time.Time // the first try that failed, and when the next one is due
}

func newEndedRun(info *workflowpb.WorkflowExecutionInfo) *endedRun {
	return &endedRun{
		workflow: info.GetExecution().GetWorkflowId(), run: info.GetExecution().GetRunId(), key: keyOf(info),
		status: info.GetStatus().String(), begun: info.GetStartTime().AsTime(), closed: info.GetCloseTime().AsTime(),
	}
}

// keyOf returns whose a run is. A workflow id has the token of a conversation; a search attribute may have its true id.
func keyOf(info *workflowpb.WorkflowExecutionInfo) schemas.ConversationKey {
	parts := strings.Split(info.GetExecution().GetWorkflowId(), "/")
	if len(parts) < 4 {
		return schemas.ConversationKey{}
	}
	key := schemas.BotID{Tenant: parts[1], Bot: parts[2]}.WithConversation("")
	shown := readKeyword(info.GetSearchAttributes().GetIndexedFields()[step.AttributeConversation])
	for _, id := range []string{shown, parts[3]} {
		if id != "" && schemas.ConversationToken(id) == parts[3] && !isHash(id) {
			key.Conversation = id
			break
		}
	}
	return key
}

// isHash reports whether an id has the form of a token that was made of another id.
func isHash(id string) bool {
	digits, found := strings.CutPrefix(id, "x")
	_, err := hex.DecodeString(digits)
	return found && len(digits) == 32 && err == nil
}

// readKeyword reads a search attribute, which no codec encrypts.
func readKeyword(payload *commonpb.Payload) string {
	var value string
	if payload == nil || step.DataConverter().FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}

// arrival is that of the events of the run: other runs may have taken them, each from another starter's recovery.
func (e *endedRun) arrival() arrival {
	return arrival{tries: tried{count: e.tries, first: e.first}, stored: e.begun, redelivered: true, recovery: true}
}

// overdue reports whether the run was tried for so long that its events are given up.
func (e *endedRun) overdue() bool { return e.tries > 0 && time.Since(e.first) >= recoverGiveUp }

// failed records a try and sets the next one.
func (e *endedRun) failed(now time.Time) {
	if e.tries == 0 {
		e.first = now
	}
	e.next = now.Add(min(recoverEvery<<min(e.tries, 8), recoverRetryMax))
	e.tries++
}

// handOver hands over what is left of the pending runs that are due. The runs of one tenant do not delay those of another,
// and those of one workflow go in the order in which they ended: a later one waits for the earlier one.
func (r *recovery) handOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	tenants := map[string]map[string][]*endedRun{}
	for _, run := range r.pending {
		if tenants[run.key.Tenant] == nil {
			tenants[run.key.Tenant] = map[string][]*endedRun{}
		}
		of := tenants[run.key.Tenant]
		of[run.workflow] = append(of[run.workflow], run)
	}
	var mu sync.Mutex
	var failed failures
	working := errgroup.Group{}
	working.SetLimit(recoverTenants)
	for _, workflows := range tenants {
		working.Go(func() error {
			done, failures := r.tenant(ctx, workflows)
			mu.Lock()
			defer mu.Unlock()
			failed.add(failures)
			for _, run := range done {
				delete(r.pending, run.run)
			}
			return nil
		})
	}
	_ = working.Wait() // what failed is in failed
	return failed.err()
}

// tenant hands over what is left of one tenant's runs, and returns those that are finished. Runs with fewer tries come
// first: a few that take the whole time of each try do not keep the others from theirs.
func (r *recovery) tenant(ctx context.Context, workflows map[string][]*endedRun) (done []*endedRun, failed failures) {
	queues := make([][]*endedRun, 0, len(workflows))
	for _, runs := range workflows {
		slices.SortFunc(runs, func(a, b *endedRun) int { return a.closed.Compare(b.closed) })
		queues = append(queues, runs)
	}
	slices.SortFunc(queues, func(a, b []*endedRun) int {
		return cmp.Or(cmp.Compare(a[0].tries, b[0].tries), a[0].closed.Compare(b[0].closed))
	})
	for _, runs := range queues {
		for _, run := range runs {
			if ctx.Err() != nil || time.Now().Before(run.next) {
				break
			}
			if err := r.recoverRun(ctx, run); err != nil {
				run.failed(time.Now())
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
