package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/step"
)

const (
	// lookBack is how far a starter looks back when no mark is stored: as long as an earlier answer is recognised.
	lookBack = step.RepliesKept
	// overlap is how far every look goes back: visibility is written a moment after the run has ended.
	overlap = 2 * time.Minute
	// roundTimeout bounds each half of a round: listing runs and handing over what is left of them.
	roundTimeout = 30 * time.Second
	// pageMax is how many runs are listed at a time, shortestSpan the shortest time whose runs are not divided further.
	pageMax      = 1000
	shortestSpan = time.Second
	// pendingMax bounds the runs that wait for their turn or for another try. While there are as many, no more are listed.
	pendingMax = 10_000
	// markEvery is how often the mark is stored at most, markTimeout bounds reading and storing it.
	markEvery   = time.Minute
	markTimeout = 5 * time.Second
)

// progress is how far one starter has come.
type progress struct {
	*Recovery

	since   time.Time            // all runs that ended before were listed; zero = not begun
	known   map[string]time.Time // run ids that are not listed again, with the runs' ends
	pending map[string]*endedRun // by run id
	marked  time.Time            // the mark that is stored
}

func newProgress(r *Recovery) *progress {
	return &progress{Recovery: r, known: map[string]time.Time{}, pending: map[string]*endedRun{}}
}

// round lists the runs that ended since the last round, and hands over what is left of all that are pending. What fails
// stops nothing else.
func (p *progress) round(ctx context.Context) error {
	if p.since.IsZero() {
		p.begin(ctx)
	}
	return errors.Join(p.list(ctx), p.handOver(ctx), p.putMark(ctx))
}

// begin reads where an earlier starter has come to.
func (p *progress) begin(ctx context.Context) {
	now := time.Now()
	p.since = now.Add(-lookBack)
	if p.Mark == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	mark, err := p.Mark.Get(ctx)
	switch {
	case err != nil:
		p.Log.WarnContext(ctx, "reading how far runs were recovered failed, looking back", "since", p.since, "error", err)
	case !mark.IsZero() && mark.Before(now):
		p.since, p.marked = mark.Add(-overlap), mark
	}
}

// putMark stores up to which time no run is left to recover.
func (p *progress) putMark(ctx context.Context) error {
	mark := p.since
	for _, run := range p.pending {
		if run.closed.Before(mark) {
			mark = run.closed
		}
	}
	if p.Mark == nil || mark.Sub(p.marked) < markEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if err := p.Mark.Put(ctx, mark); err != nil {
		return fmt.Errorf("store how far runs were recovered: %w", err)
	}
	p.marked = mark
	return nil
}

// list adds the runs that ended early to the pending ones, from the oldest on. Temporal lists the newest first and does not
// sort, so the time is divided into spans whose runs fit one page. What is finished of it is not listed again.
func (p *progress) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	now, last := p.clocks(ctx)
	from, span := p.since, now.Sub(p.since)
	for from.Before(now) && len(p.pending) < pendingMax {
		to := from.Add(span)
		runs, fit, err := p.ended(ctx, from, to, span <= shortestSpan)
		if err != nil {
			return fmt.Errorf("list runs that ended early: %w", err)
		}
		if !fit {
			span = max(span/2, shortestSpan)
			continue
		}
		for _, run := range runs {
			p.add(run)
		}
		from, span = to, min(2*span, max(now.Sub(to), shortestSpan))
		if from.Before(last) {
			p.since = from
		} else if p.since.Before(last) {
			p.since = last
		}
	}
	for id, closed := range p.known {
		if closed.Before(p.since) {
			delete(p.known, id)
		}
	}
	return nil
}

// clocks returns the latest time at which a run may have ended, and the time before which all runs that ended are listed
// when this look is over. Runs end by the clock of Temporal, and this starter's may be ahead or behind. The latest poll of a
// worker, at most a minute ago, has Temporal's time; without one the next look goes as far back as this one.
func (p *progress) clocks(ctx context.Context) (now, last time.Time) {
	now = time.Now()
	described, err := p.Temporal.DescribeTaskQueue(ctx, p.Queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		p.Log.WarnContext(ctx, "looking at the pollers of the task queue failed, listing the same runs again", "error", err)
	}
	var polled time.Time
	for _, poller := range described.GetPollers() {
		if at := poller.GetLastAccessTime().AsTime(); at.After(polled) {
			polled = at
		}
	}
	if last = polled; now.Before(polled) {
		now, last = polled, now
	}
	return now, last.Add(-overlap)
}

func (p *progress) add(run *workflowpb.WorkflowExecutionInfo) {
	id := run.GetExecution().GetRunId()
	if _, known := p.known[id]; known {
		return
	}
	p.known[id] = run.GetCloseTime().AsTime()
	p.pending[id] = newEndedRun(run)
}

// ended returns the runs that ended early in a span of time, and whether they fit one page; all of them when it must not be
// divided. Runs of other programs in the namespace, and of the scripts of channels, whose requests over HTTP have ended,
// have another task queue or no conversation.
func (p *progress) ended(ctx context.Context, from, to time.Time, all bool,
) (runs []*workflowpb.WorkflowExecutionInfo, fit bool, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: p.Namespace, PageSize: pageMax,
		Query: fmt.Sprintf("WorkflowType IN ('%s', '%s') AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') "+
			"AND TaskQueue = %s AND %s IS NOT NULL AND CloseTime >= '%s' AND CloseTime < '%s'",
			step.WorkflowConversation, step.WorkflowStep, step.Quote(p.Queue), step.AttributeConversation,
			from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)),
	}
	for {
		page, err := p.Temporal.ListWorkflow(ctx, request)
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
