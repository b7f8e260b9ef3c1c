package step

import (
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// replyDataMax bounds the data of a reply that is cut when it is too large, in bytes. The rest of the message takes less
// than 8 KiB: its other attributes, its headers and its subject, which a server with a max_payload of 1 MiB counts too.
const replyDataMax = schemas.MessageMax - 8<<10

// shortened returns the forms in which the data of a reply may be published that no message can hold, the fullest first. An
// answer comes without its attempts before it does not come at all.
func shortened(data any) []any {
	switch r := data.(type) {
	case schemas.StepReplied:
		answer := r
		answer.Attempts = nil
		return []any{answer, WithoutContent(r), WithoutContent(answer)}
	case schemas.StepProgress:
		r.Messages = nil
		return []any{r}
	}
	return nil
}

// WithoutContent returns the end of a step without what made it too large for a message: a failure that reports it.
func WithoutContent(r schemas.StepReplied) schemas.StepReplied {
	return schemas.StepReplied{
		EventID: r.EventID, Step: r.Step, Outcome: schemas.OutcomeFailure, Conversation: r.Conversation, Attempts: r.Attempts,
		Error:    ErrorOf(fault.New(fault.TooLarge, "the reply is larger than a message on NATS may be")),
		Workflow: r.Workflow,
	}
}
