package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// replied makes the data of step.replied from what the endpoint answered, or from why it did not. It is pure.
func replied(d step.Delivery, language string, result step.WebhookResult, failed *fault.Fault) schemas.StepReplied {
	r := schemas.StepReplied{
		EventID:      d.Event.ID,
		Step:         d.Plan.Step,
		Messages:     result.Messages,
		Variables:    result.Variables,
		Output:       result.Output,
		Attempts:     result.Attempts,
		Conversation: schemas.ConversationOpen,
		UserDetails:  result.UserDetails,
	}
	switch {
	case failed != nil:
		r.Error = errorOf(failed)
		r.Outcome, r.Conversation, r.Messages = failureEnd(d.Plan, language)
	case d.Plan.Adapter != nil:
		r.Outcome = schemas.OutcomeDelivered
		if d.Event.Type == schemas.TypeConversationHandover {
			r.Conversation = schemas.ConversationHandover
		}
	case result.Success:
		r.Outcome = schemas.OutcomeSuccess
		r.Conversation = result.Conversation
		if d.Plan.EndStep && r.Conversation == "" {
			r.Conversation = schemas.ConversationComplete
		}
	default:
		r.Outcome = schemas.OutcomeFailure
	}
	if failed == nil && result.Problem != nil {
		r.Error = errorOf(result.Problem)
	}
	return r
}

// accepted makes the data of step.replied for a step that runs in the background, or that found its queue full.
func accepted(d step.Delivery, refused *fault.Fault) schemas.StepReplied {
	r := schemas.StepReplied{
		EventID: d.Event.ID, Step: d.Plan.Step, Outcome: schemas.OutcomeAccepted, Conversation: schemas.ConversationOpen,
	}
	if refused != nil {
		r.Outcome, r.Error = schemas.OutcomeFailure, errorOf(refused)
	}
	return r
}

// failureEnd is what a failed step does to the chat, by the plan's on_failure.
func failureEnd(p *bot.Plan, language string) (outcome schemas.Outcome, conversation string, messages []schemas.Message) {
	switch p.OnFailure {
	case bot.OnFailureHandover:
		return schemas.OutcomeHandover, schemas.ConversationHandover, nil
	case bot.OnFailureContinue:
		return schemas.OutcomeContinued, schemas.ConversationOpen, nil
	case bot.OnFailureUndelivered:
		return schemas.OutcomeUndelivered, schemas.ConversationOpen, nil
	}
	if text := p.BotBreak.For(language); text != "" {
		messages = []schemas.Message{schemas.Text(text)}
	}
	return schemas.OutcomeBotBreak, schemas.ConversationOpen, messages
}

// rejected makes the data of step.replied for an event that is valid but not served.
func rejected(r *refusal) schemas.StepReplied {
	return schemas.StepReplied{
		EventID:      r.delivery.Event.ID,
		Step:         r.delivery.Event.Data.Step,
		Outcome:      schemas.OutcomeRejected,
		Conversation: schemas.ConversationOpen,
		Error:        errorOf(r.fault),
	}
}

func errorOf(f *fault.Fault) *schemas.Error {
	return &schemas.Error{Kind: string(f.Kind), Status: f.Status, Message: f.Message}
}

// languageOf is the user's language, "en" when nobody said.
func languageOf(u schemas.User) string {
	if u.Language == "" {
		return "en"
	}
	return u.Language
}

// reference points at the running workflow, for the reply.
func reference(ctx workflow.Context) schemas.WorkflowRef {
	info := workflow.GetInfo(ctx)
	return schemas.WorkflowRef{ID: info.WorkflowExecution.ID, RunID: info.WorkflowExecution.RunID}
}
