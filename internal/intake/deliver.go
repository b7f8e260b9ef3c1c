package intake

import (
	"context"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// deliver hands an event to its workflow, and answers it again where a run took it before and its replies are lost.
func (i *Intake) deliver(ctx context.Context, b *bot.Bot, m *eventreader.Message, d step.Delivery) error {
	a := i.arrivalOf(b, m, d.Event)
	d.Stored = a.Stored
	to := step.Address{ConversationKey: b.ID().WithConversation(d.Event.Subject), Event: d.Event}
	unordered := b.Ordering() == bot.OrderingNone
	// The reply of a conversation can be stored before its run has the event; a step of its own has its run first.
	if (a.again || unordered && a.Redelivered) && i.Answers.Answered(ctx, to, a.Stored) {
		return dispatch.ErrDuplicate
	}
	var by dispatch.Taker
	var err error
	switch {
	case !unordered:
		fresh := step.NewState(to.ConversationKey, bot.Duration(b.IdleTimeout()))
		by, err = i.Dispatcher.Offer(ctx, fresh, d, a.Arrival)
	case d.Event.Type == schemas.TypeEntitiesCollected, d.Event.Type == schemas.TypeConversationEnded:
		err = dispatch.Rejectf(fault.BadEvent,
			"/type: bot %s does not have conversations (ordering: none), so it cannot take %s", b.Name(), d.Event.Type)
	default:
		request := step.Request{ConversationKey: to.ConversationKey, Delivery: d, Format: step.FormatLatest}
		by, err = i.Dispatcher.Start(ctx, request, a.Arrival)
	}
	return i.answerAgain(ctx, to, a, by, err)
}
