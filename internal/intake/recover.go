package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Runs that ended by anything else than their own end leave events behind: terminated by an operator or by the server,
// failed, or timed out. Their messages were acknowledged when the run accepted them, so JetStream does not deliver them
// again; the run's history still has them. Every starter looks for such runs and hands over what is left of them (ADRs 36
// and 73). Any number of starters may do it: an event has one update id, and a conversation recognises the events that it
// has.

const (
	// recoverEvery is how often runs that ended early are looked for.
	recoverEvery = 15 * time.Second
	// recoverBack is how far a starter looks back when no mark is stored: as long as an earlier answer is recognised.
	recoverBack = step.RepliesKept
	// recoverOverlap is how far every look goes back: visibility is written a moment after the run has ended.
	recoverOverlap = 2 * time.Minute
	// recoverTimeout bounds each half of a round: listing runs and handing over what is left of them.
	recoverTimeout = 30 * time.Second
	// recoverPage is how many runs are listed at a time, recoverSpan the shortest time whose runs are not divided further.
	recoverPage = 1000
	recoverSpan = time.Second
	// recoverPending bounds the runs that wait for their turn or for another try. While there are as many, no more are listed.
	recoverPending = 10_000
	// markEvery is how often the mark is stored at most.
	markEvery = time.Minute
)

// Mark stores up to which time all runs that ended early were recovered, for the starters that come later.
type Mark interface {
	// Get returns the time, the zero time when none is stored.
	Get(ctx context.Context) (time.Time, error)
	Put(ctx context.Context, mark time.Time) error
}

// Letters stores events that were accepted and that no run takes as dead letters.
type Letters interface {
	// Write stores an event. Writing it twice stores it once.
	Write(ctx context.Context, of schemas.ConversationKey, e schemas.Event, reason *fault.Fault) error
}

// Recover recovers runs that ended early until ctx ends.
func (i *Intake) Recover(ctx context.Context) {
	r := newRecovery(i)
	tick := time.NewTicker(recoverEvery)
	defer tick.Stop()
	for {
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			i.Log.WarnContext(ctx, "recovering runs that ended early failed, will retry", "retry_in", recoverEvery, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// recovery is how far one starter has come.
type recovery struct {
	*Intake

	since   time.Time            // all runs that ended before were listed; zero = not begun
	known   map[string]time.Time // run ids that are not listed again, with the runs' ends
	pending map[string]*endedRun // by run id
	marked  time.Time            // the mark that is stored
}

func newRecovery(i *Intake) *recovery {
	return &recovery{Intake: i, known: map[string]time.Time{}, pending: map[string]*endedRun{}}
}

// round lists the runs that ended since the last round, and hands over what is left of all that are pending. What fails
// stops nothing else.
func (r *recovery) round(ctx context.Context) error {
	if r.since.IsZero() {
		r.begin(ctx)
	}
	return errors.Join(r.list(ctx), r.handOver(ctx), r.putMark(ctx))
}

// begin reads where an earlier starter has come to.
func (r *recovery) begin(ctx context.Context) {
	now := time.Now()
	r.since = now.Add(-recoverBack)
	if r.Mark == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	mark, err := r.Mark.Get(ctx)
	switch {
	case err != nil:
		r.Log.WarnContext(ctx, "reading how far runs were recovered failed, looking back", "since", r.since, "error", err)
	case !mark.IsZero() && mark.Before(now):
		r.since, r.marked = mark.Add(-recoverOverlap), mark
	}
}

// putMark stores up to which time no run is left to recover.
func (r *recovery) putMark(ctx context.Context) error {
	mark := r.since
	for _, run := range r.pending {
		if run.closed.Before(mark) {
			mark = run.closed
		}
	}
	if r.Mark == nil || mark.Sub(r.marked) < markEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := r.Mark.Put(ctx, mark); err != nil {
		return fmt.Errorf("store how far runs were recovered: %w", err)
	}
	r.marked = mark
	return nil
}

// list adds the runs that ended early to the pending ones, from the oldest on. Temporal lists the newest first and does not
// sort, so the time is divided into spans whose runs fit one page. What is finished of it is not listed again.
func (r *recovery) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	now := time.Now()
	from, span := r.since, now.Sub(r.since)
	for from.Before(now) && len(r.pending) < recoverPending {
		to := from.Add(span)
		runs, fit, err := r.ended(ctx, from, to, span <= recoverSpan)
		if err != nil {
			return fmt.Errorf("list runs that ended early: %w", err)
		}
		if !fit {
			span = max(span/2, recoverSpan)
			continue
		}
		for _, run := range runs {
			r.add(run)
		}
		from, span = to, min(2*span, max(now.Sub(to), recoverSpan))
		if last := now.Add(-recoverOverlap); from.Before(last) {
			r.since = from
		} else if r.since.Before(last) {
			r.since = last
		}
	}
	for id, closed := range r.known {
		if closed.Before(r.since) {
			delete(r.known, id)
		}
	}
	return nil
}

func (r *recovery) add(run *workflowpb.WorkflowExecutionInfo) {
	id := run.GetExecution().GetRunId()
	if _, known := r.known[id]; known {
		return
	}
	r.known[id] = run.GetCloseTime().AsTime()
	r.pending[id] = newEndedRun(run)
}

// ended returns the runs that ended early in a span of time, and whether they fit one page; all of them when it must not be
// divided. Runs of other programs in the namespace, and of the scripts of channels, whose requests over HTTP have ended,
// have another task queue or no conversation.
func (r *recovery) ended(ctx context.Context, from, to time.Time, all bool,
) (runs []*workflowpb.WorkflowExecutionInfo, fit bool, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: r.Namespace, PageSize: recoverPage,
		Query: fmt.Sprintf("WorkflowType IN ('%s', '%s') AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') "+
			"AND TaskQueue = %s AND %s IS NOT NULL AND CloseTime >= '%s' AND CloseTime < '%s'",
			step.WorkflowConversation, step.WorkflowStep, step.Quote(r.Queue), step.AttributeConversation,
			from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)),
	}
	for {
		page, err := r.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, page.GetExecutions()...)
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return runs, true, nil
		}
		if !all {
			return nil, false, nil
		}
	}
}

// endedEarly reports whether a run ended by anything else than its own end.
func endedEarly(status enumspb.WorkflowExecutionStatus) bool {
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return true
	}
	return false
}
