package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// A reply that was stored can be lost afterwards: NATS is restored from a backup, or its stream was deleted. Temporal is
// not, and the conversation knows the event. When such an event comes again, because the backup still has it or because
// the engine publishes it again, what its run published is published again, under the same ids.

// Recall finds what runs have published. *recall.Recall is one.
type Recall interface {
	// Published returns the replies that a run has published for an event, in their order; none while the event is in hand.
	// lost reports that they cannot be found any more.
	Published(ctx context.Context, of schemas.BotID, workflowID, runID, eventID string) (
		replies []schemas.Reply, lost bool, err error)
}

// recallTimeout bounds the search for lost replies; the event is tried again after it.
const recallTimeout = 20 * time.Second

// keptFor is how long the replies of a bot are kept. An event whose reply may have been deleted since is not answered again.
func keptFor(b *bot.Bot) time.Duration {
	if kept := b.Retention().Replies; kept > 0 {
		return kept
	}
	return step.RepliesKept
}

// answerAgain answers an event that a run took before and whose replies are lost. err is what became of the event, and is
// returned where there is nothing to do. A new event costs nothing, one that waited in the stream costs a request to NATS.
func (i *Intake) answerAgain(ctx context.Context, to step.Address, a arrival, by dispatch.Taker, err error) error {
	inHand := by.Accepted && by.Result == nil
	mayBeLost := (a.late || errors.Is(err, dispatch.ErrDuplicate)) && !a.expired
	if i.Recall == nil || !mayBeLost || inHand || by.Run == "" || !outcomeOf(err).Acked() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	n, failed := i.publishLost(ctx, to, a, by)
	switch {
	case failed != nil:
		return fmt.Errorf("publish the replies to event %s again: %w", to.Event.ID, failed)
	case n > 0:
		i.Log.InfoContext(ctx, "event answered again, its replies were lost", "workflow", by.Workflow, "run_id", by.Run, "event",
			to.Event.ID, "type", to.Event.Type, "replies", n)
		return dispatch.ErrDuplicate
	}
	return err
}

// publishLost publishes the replies to an event that are not stored any more, and returns how many these are. A reply that
// no message can hold was never stored, so it is not lost.
func (i *Intake) publishLost(ctx context.Context, to step.Address, a arrival, by dispatch.Taker) (n int, err error) {
	last := lastReply(to, a, by)
	if last == "" {
		return 0, nil
	}
	if stored, err := i.Answers.Find(ctx, to, last, a.Stored); stored != nil || err != nil {
		return 0, err
	}
	replies, lost, err := i.Recall.Published(ctx, to.BotID, by.Workflow, by.Run, to.Event.ID)
	if err != nil {
		return 0, err
	}
	if lost {
		replies = unknownOutcome(to)
	}
	for _, r := range replies {
		stored, err := i.Answers.Find(ctx, to, r.ID, a.Stored)
		if err != nil {
			return n, err
		}
		if stored != nil {
			continue
		}
		_, err = i.Answers.Publish(ctx, to.BotID, r)
		switch {
		case err == nil:
			n++
		case fault.Of(err).Kind != fault.TooLarge:
			return n, err
		}
	}
	return n, nil
}

// lastReply returns the id of the last reply that an event has, "" when it has none: while it is stored, none is lost. Where
// it is not known what became of the event, or the step that waited may have ended since, that is the end of a step.
func lastReply(to step.Address, a arrival, by dispatch.Taker) string {
	switch r := by.Result; {
	case r == nil, len(r.Waiting) > 0 && a.Redelivered:
		return to.ReplyID(schemas.TypeStepReplied)
	case r.ReplyID == "" && r.Closed != "":
		return to.ReplyID(schemas.TypeConversationClosed)
	default:
		return r.ReplyID
	}
}

// unknownOutcome is the reply to an event whose run is known to have answered it, and not known how.
func unknownOutcome(to step.Address) []schemas.Reply {
	if to.Event.Type == schemas.TypeEntitiesCollected || to.Event.Type == schemas.TypeConversationEnded {
		return nil // they have no reply of their own
	}
	f := fault.New(fault.OutcomeUnknown, "the event was answered, its reply was lost, and its run is not kept: request the "+
		"step again under another event id")
	in, err := to.Reply(schemas.TypeStepReplied, time.Now(), step.Rejected(to.Event, f))
	if err != nil {
		return nil
	}
	return []schemas.Reply{in.Reply}
}
