package step

import (
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Adopt converts a stored reply back into the result, or the failure, from which Replied created it. The engine has read
// that reply, so the conversation keeps it, whatever a repeated attempt would have returned.
func (in *WebhookInput) Adopt(r schemas.StepReplied) (WebhookResult, *fault.Fault) {
	var f *fault.Fault
	if e := r.Error; e != nil {
		f = fault.New(fault.Kind(e.Kind), "%s", e.Message)
		f.Status = e.Status
	}
	result := WebhookResult{
		Answer:   dialect.Answer{Messages: r.Messages, Variables: r.Variables, Output: r.Output},
		Attempts: r.Attempts, UserDetails: r.UserDetails,
	}
	switch r.Outcome {
	case schemas.OutcomeSuccess, schemas.OutcomeDelivered:
		result.Success, result.Conversation = true, r.Conversation
	case schemas.OutcomeFailure:
		result.Conversation = r.Conversation
	default:
		if f == nil {
			f = fault.New(fault.Internal, "the step ended as %s", r.Outcome)
		}
		return WebhookResult{Attempts: r.Attempts}, f
	}
	result.ConversationDetails, result.Problem = r.ConversationDetails, f
	return result, nil
}
