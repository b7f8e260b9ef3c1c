package erase

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/store"
)

// filesOf adds the ids in all payloads of a run's history.
func (e *Eraser) filesOf(ctx context.Context, execution *commonpb.WorkflowExecution, files store.FileIDs) error {
	options := proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			inClear, err := payloads, error(nil)
			if e.Payloads != nil {
				inClear, err = e.Payloads.Decode(payloads)
			}
			for _, p := range inClear {
				files.Find(p.GetData())
			}
			return payloads, err
		},
	}
	history := e.Temporal.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil
		}
		if err == nil {
			err = proxy.VisitPayloads(ctx, event, options)
		}
		if err != nil {
			return fmt.Errorf("read the history of run %s: %w", execution.GetRunId(), err)
		}
	}
	return nil
}
