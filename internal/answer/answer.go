// Package answer publishes the replies that a starter publishes in the place of a run, and finds replies that are stored. A
// reply has the id that a run would give it: the stream stores one of them.
package answer

import (
	"context"
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Timeout bounds what is asked of NATS for the answer to one event; the event is tried again after it.
const Timeout = 5 * time.Second

// Replies publishes replies, and finds those that are stored. *bus.Replies is one.
type Replies interface {
	Publish(ctx context.Context, owner schemas.BotID, reply schemas.Reply) (before *schemas.Reply, err error)
	// Find returns the reply of an id in a conversation, published since a moment; nil when there is none.
	Find(ctx context.Context, of schemas.ConversationKey, id string, since time.Time) (*schemas.Reply, error)
}

// Answers are the answers to events. Both fields are required.
type Answers struct {
	Replies

	Log *slog.Logger
}

// Find returns the reply of an id to an event that was stored at a time; nil when there is none.
func (a *Answers) Find(ctx context.Context, to step.Address, id string, stored time.Time) (*schemas.Reply, error) {
	return a.Replies.Find(ctx, to.ConversationKey, id, stored.Add(-step.ClockSlack))
}

// Answered reports whether the engine has the reply to an event that was stored at a time. It recognises an event that came
// so long ago that its conversation has dropped its id. What cannot be read within Timeout is left to the conversation,
// which recognises the latest events.
func (a *Answers) Answered(ctx context.Context, to step.Address, stored time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := a.Find(ctx, to, to.ReplyID(schemas.TypeStepReplied), stored)
	if err != nil {
		a.Log.WarnContext(ctx, "looking for an earlier reply failed", "event", to.Event.ID, "error", err)
	}
	return err == nil && r != nil
}

// Reject publishes the reply to an event that no run answers, within Timeout.
func (a *Answers) Reject(ctx context.Context, to step.Address, reason *fault.Fault) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	in, err := to.Reply(schemas.TypeStepReplied, time.Now(), step.Rejected(to.Event, reason))
	if err == nil {
		_, err = a.Publish(ctx, to.BotID, in.Reply)
	}
	return err
}
