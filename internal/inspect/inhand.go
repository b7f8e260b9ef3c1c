package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// tailPage is how many events are read at a time from the end of a history: what an idle run needs.
const tailPage = 8

// inHand returns the events that a run has accepted before a moment and not answered. It reads the history from its end,
// and no further than it must.
func (i *Inspector) inHand(ctx context.Context, of schemas.WorkflowRef, before time.Time) ([]InHand, error) {
	t := tail{reading: i.reading(), done: map[string]bool{}}
	request := &workflowservice.GetWorkflowExecutionHistoryReverseRequest{
		Namespace: i.Namespace, MaximumPageSize: tailPage,
		Execution: &commonpb.WorkflowExecution{WorkflowId: of.ID, RunId: of.RunID},
	}
	for {
		page, err := i.tailOf(ctx, request)
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil, nil
		}
		more := true
		for _, e := range page.GetHistory().GetEvents() {
			if more, err = t.take(e); err != nil || !more {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read the end of the history of run %s of %s: %w", of.RunID, of.ID, err)
		}
		if request.NextPageToken = page.GetNextPageToken(); !more || len(request.GetNextPageToken()) == 0 {
			return t.inHand(before), nil
		}
	}
}

// tailOf reads a page, again and again while the server has too much to do.
func (i *Inspector) tailOf(ctx context.Context, request *workflowservice.GetWorkflowExecutionHistoryReverseRequest) (
	*workflowservice.GetWorkflowExecutionHistoryReverseResponse, error,
) {
	return backoff.RetryWithData(func() (*workflowservice.GetWorkflowExecutionHistoryReverseResponse, error) {
		page, err := i.Temporal.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx, request)
		if _, busy := errors.AsType[*serviceerror.ResourceExhausted](err); err != nil && !busy {
			return nil, backoff.Permanent(err)
		}
		if err == nil {
			patience.Renew(ctx)
		}
		return page, err
	}, backoff.WithContext(retry.Backoff(50*time.Millisecond, time.Second), ctx))
}

// tail collects what is in hand from the events of a history, the latest first.
type tail struct {
	reading

	done map[string]bool // ids of Updates that were answered
}

// take takes one event and reports whether earlier ones can matter. A run answers events in the order in which it accepts
// them, so no event that it accepted before an answered one is in hand.
func (t *tail) take(e *historypb.HistoryEvent) (more bool, err error) {
	var accepted *updatepb.Request
	switch {
	case e.GetWorkflowExecutionUpdateCompletedEventAttributes() != nil:
		t.done[e.GetWorkflowExecutionUpdateCompletedEventAttributes().GetMeta().GetUpdateId()] = true
		return true, nil
	case e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil:
		accepted = e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest()
	case e.GetWorkflowExecutionUpdateAdmittedEventAttributes() != nil:
		accepted = e.GetWorkflowExecutionUpdateAdmittedEventAttributes().GetRequest()
	}
	if accepted.GetInput().GetName() != step.UpdateCallback && t.done[accepted.GetMeta().GetUpdateId()] {
		return false, nil
	}
	return true, t.reading.take(e)
}

func (t *tail) inHand(before time.Time) []InHand {
	var left []InHand
	for _, e := range slices.Backward(t.events) {
		if !e.done && e.at.Before(before) {
			left = append(left, InHand{EventID: e.event.ID, Type: e.event.Type, Step: e.event.Data.Step, Since: e.at})
		}
	}
	return left
}
