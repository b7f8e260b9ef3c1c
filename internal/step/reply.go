package step

import (
	"cmp"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// VariablesMax bounds the variables of one conversation, in bytes of JSON: they are part of the input of its next run.
const VariablesMax = 128 << 10

// Address identifies the conversation of a reply and the event that it answers.
type Address struct {
	schemas.ConversationKey

	Event schemas.Event
	// Stored is that of the event's Delivery.
	Stored time.Time
	// Plan is that of the step which the event made run, and Accepted when the event was accepted; both for the metrics only.
	Plan     *bot.Plan
	Accepted time.Time
}

// Reply returns the input of ActivityPublish: a reply to the event, in the event's trace. Data that no message can hold is
// cut, but for the end of a step: what of it the engine reads is the workflow's to know.
func (to Address) Reply(replyType string, at time.Time, data any) (PublishInput, error) {
	r, err := schemas.NewReply(to.ConversationKey, to.Event.ID, to.typeOf(replyType), at, data)
	if replyType != schemas.TypeStepReplied {
		for _, shorter := range shortened(data) {
			if err != nil || len(r.Data) <= replyDataMax {
				break
			}
			r, err = schemas.NewReply(to.ConversationKey, to.Event.ID, replyType, at, shorter)
		}
	}
	r.TraceParent, r.TraceState = to.Event.TraceParent, to.Event.TraceState
	return PublishInput{
		BotID: to.BotID, Reply: r, Timing: to.timing(data), Withheld: to.withheld(replyType, data),
		Sent: storedOr(to.Stored, to.Event),
	}, err
}

// withheld reports whether a reply is not published. The engine reads only the end of a repeated step: not that it
// takes longer, and not that it runs in the background, which would have the id of its end.
func (to Address) withheld(replyType string, data any) bool {
	if to.Event.Repeats() == "" {
		return false
	}
	r, ok := data.(schemas.StepReplied)
	return replyType == schemas.TypeStepProgress || ok && r.Outcome == schemas.OutcomeAccepted
}

// ReplyID returns the id of a reply to the event.
func (to Address) ReplyID(replyType string) string {
	return schemas.ReplyID(to.ConversationKey, to.Event.ID, to.typeOf(replyType))
}

// typeOf returns the type under which a reply is published: the end of a repeated step is a late answer to the event that
// asked first, which has its step.replied already.
func (to Address) typeOf(replyType string) string {
	if replyType == schemas.TypeStepReplied && to.Event.Repeats() != "" {
		return schemas.TypeStepLate
	}
	return replyType
}

// Replied returns the data of step.replied for the endpoint's response or for its failure. It is a pure function: the
// activity and the workflow that replays it produce the same data. The caller sets the run.
func (in *WebhookInput) Replied(result WebhookResult, failed *fault.Fault) schemas.StepReplied {
	p := &in.Plan
	r := schemas.StepReplied{
		EventID:             in.Event.AskedID(),
		Step:                p.Step,
		Messages:            result.Messages,
		Variables:           result.Variables,
		ConversationDetails: in.ConversationDetails,
		Output:              result.Output,
		Attempts:            result.Attempts,
		Conversation:        schemas.ConversationOpen,
		UserDetails:         result.UserDetails,
	}
	if result.ConversationDetails != nil {
		r.ConversationDetails = result.ConversationDetails
	}
	switch {
	case failed != nil:
		r.Error = ErrorOf(failed)
		r.Outcome, r.Conversation, r.Messages = failureEnd(p, LanguageOf(in.User))
	case p.Adapter != nil:
		r.Outcome = schemas.OutcomeDelivered
		if in.Event.Type == schemas.TypeConversationHandover {
			r.Conversation = schemas.ConversationHandover
		}
	case result.Success:
		r.Outcome = schemas.OutcomeSuccess
		r.Conversation = result.Conversation
		if p.EndStep && r.Conversation == "" {
			r.Conversation = schemas.ConversationComplete
		}
	default:
		r.Outcome = schemas.OutcomeFailure
		if in.FailureCloses {
			r.Conversation = cmp.Or(result.Conversation, schemas.ConversationOpen)
		}
	}
	if failed == nil && result.Problem != nil {
		r.Error = ErrorOf(result.Problem)
	}
	return r
}

// Rejected returns the data of step.replied for an event that is not served. The step is "" where the event does not have
// one that could be read. The caller sets the run, where one answers.
func Rejected(e schemas.Event, f *fault.Fault) schemas.StepReplied {
	return schemas.StepReplied{
		EventID: e.AskedID(), Step: e.Data.Step, Outcome: schemas.OutcomeRejected, Conversation: schemas.ConversationOpen,
		Error: ErrorOf(f),
	}
}

// Running returns the data of step.progress for a step that is still running at its soft deadline. The caller sets the run.
func (in *WebhookInput) Running() schemas.StepProgress {
	text := in.Plan.Webhook.ProgressMessage.For(LanguageOf(in.User))
	return schemas.StepProgress{
		EventID: in.Event.AskedID(), Step: in.Plan.Step, Messages: []schemas.Message{schemas.Text(text)},
	}
}

// Closes returns the reason for which the end of a step closes its conversation, "" when it does not.
func (in *WebhookInput) Closes(r schemas.StepReplied) string {
	switch {
	case in.Event.Type == schemas.TypeConversationHandover:
		return ""
	case r.Conversation == schemas.ConversationComplete:
		return schemas.ClosedCompleted
	case r.Conversation == schemas.ConversationHandover:
		return schemas.ClosedHandover
	}
	return ""
}

// Closing returns the conversation.closed that is published together with a reply; nil when the reply does not close the
// conversation, and when that is the workflow's to publish.
func (in *WebhookInput) Closing(r schemas.StepReplied, at time.Time) *schemas.Reply {
	if in == nil || in.CloseEvent == "" || in.Closes(r) == "" {
		return nil
	}
	key := in.Plan.WithConversation(in.Event.Subject)
	data := schemas.ConversationClosed{Reason: in.Closes(r), Workflow: r.Workflow}
	closed, err := schemas.NewReply(key, in.CloseEvent, schemas.TypeConversationClosed, at, data)
	if err != nil {
		return nil
	}
	return &closed
}

// failureEnd returns the effect of a failed step on the chat, as the plan's on_failure defines it.
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

// ErrorOf converts a fault to the error of a reply.
func ErrorOf(f *fault.Fault) *schemas.Error {
	return &schemas.Error{Kind: string(f.Kind), Status: f.Status, Message: f.Message}
}

// LanguageOf returns the user's language; the default is "en".
func LanguageOf(u schemas.User) string { return cmp.Or(u.Language, "en") }

// FitVariables drops all variables of the response when they do not fit into the conversation beside those that it
// keeps, and records that as the result's problem.
func (r *WebhookResult) FitVariables(kept map[string]string) {
	added := 0
	//workflowcheck:ignore a sum does not depend on the order
	for name, value := range r.Variables {
		if value != nil {
			added += variableSize(name, *value)
		}
	}
	if VariablesSize(kept)+added <= VariablesMax {
		return
	}
	r.Variables = nil
	r.Problem = cmp.Or(r.Problem,
		fault.New(fault.TooLarge, "the conversation's variables would exceed %d bytes: none was set", VariablesMax))
}

// VariablesSize returns the size of variables that is compared with VariablesMax.
func VariablesSize(variables map[string]string) int {
	total := 0
	//workflowcheck:ignore a sum does not depend on the order
	for name, value := range variables {
		total += variableSize(name, value)
	}
	return total
}

func variableSize(name, value string) int {
	return schemas.EncodedLen(name) + len(":") + schemas.EncodedLen(value) + len(",")
}
