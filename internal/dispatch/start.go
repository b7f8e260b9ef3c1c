package dispatch

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/step"
)

// Start runs an event's step on its own. The event's id is part of the workflow's id: a redelivery finds the run, open or
// closed. The recovery starts it again where the run ended early, unless that was done already. The results are those of
// Offer.
func (dp *Dispatcher) Start(ctx context.Context, request step.Request, a Arrival) (Taker, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	e := request.Delivery.Event
	id := step.ID(request.ConversationKey, e.ID)
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if a.Recovery {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	}
	_, err := dp.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       id,
		TaskQueue:                                dp.Queue,
		WorkflowTaskTimeout:                      WorkflowTaskTimeout,
		WorkflowIDReusePolicy:                    reuse,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    dp.attributes(request.BotID, e),
		Priority:                                 temporal.Priority{FairnessKey: request.Tenant},
		StaticSummary:                            request.Bot + ": step " + shorten(e.Data.Step),
	}, step.WorkflowStep, request)
	by := Taker{Workflow: id, Accepted: err == nil}
	if other, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		by.Run = other.RunId
	}
	return by, dp.answered(ctx, err, id, e, a)
}
