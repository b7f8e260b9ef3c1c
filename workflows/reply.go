package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// accepted makes the data of step.replied for a step that runs in the background, or that found its queue full.
func accepted(in step.WebhookInput, refused *fault.Fault) schemas.StepReplied {
	r := schemas.StepReplied{
		EventID: in.Event.ID, Step: in.Plan.Step, Outcome: schemas.OutcomeAccepted, Conversation: schemas.ConversationOpen,
		ConversationDetails: in.Details,
	}
	if refused != nil {
		r.Outcome, r.Error = schemas.OutcomeFailure, step.ErrorOf(refused)
	}
	return r
}

// rejected makes the data of step.replied for an event that is valid but not served.
func rejected(r *refusal) schemas.StepReplied {
	return schemas.StepReplied{
		EventID:      r.delivery.Event.ID,
		Step:         r.delivery.Event.Data.Step,
		Outcome:      schemas.OutcomeRejected,
		Conversation: schemas.ConversationOpen,
		Error:        step.ErrorOf(r.fault),
	}
}

// reference points at the running workflow, for the reply.
func reference(ctx workflow.Context) schemas.WorkflowRef {
	info := workflow.GetInfo(ctx)
	return schemas.WorkflowRef{ID: info.WorkflowExecution.ID, RunID: info.WorkflowExecution.RunID}
}
