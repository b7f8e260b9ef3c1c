// Package dispatch offers an event to the run of its conversation, or starts one, and recognises an event that a run has
// taken before. An event is taken once, however often it is offered.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
)

// WorkflowTaskTimeout is how soon another worker takes over from one that died in the middle of a step. A step that takes
// longer than four fifths of it costs a heartbeat of the workflow task, three small events of history, for each of them.
const WorkflowTaskTimeout = 2 * time.Second

// behindMax is how long an event waits for the recovery of the run before it, which gives up what it cannot recover before.
const behindMax = 15 * time.Minute

// Dispatcher offers events to runs. All fields are required.
type Dispatcher struct {
	Temporal  client.Client
	Namespace string // of the workflows
	Queue     string // task queue of the workflows
	Bots      Bots
	Answers   *answer.Answers
	Recovery  Recovery
	Log       *slog.Logger

	runs runs
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Recovery hands over what runs that ended early have left. *recovery.Recovery is one.
type Recovery interface {
	// Latest recovers the latest run of a conversation if it ended early. After an error the event that asked for it is offered
	// later, and asks again: ErrNoPlace when as many runs of the tenant are being recovered as may be.
	Latest(ctx context.Context, workflowID string) error
}

// Arrival is how an event came: as a new one, or as one that a run may have taken before.
type Arrival struct {
	Tries       Tries
	Tried       bool      // the event may have been offered before Tries begin
	Stored      time.Time // when the event was, at the earliest; the zero time when that is not known
	Redelivered bool      // the event comes from another delivery or reader than an earlier one
	Recovery    bool      // the event is offered because its run ended early
}

// Tries are those of this process with an event that failed.
type Tries struct {
	Count  int
	First  time.Time // the zero time when Count is 0
	Behind time.Time // since when the event waits for the recovery of the run before it; the zero time when it does not
}

// Failed returns the tries with one more that failed. The time before a failure that has another reason than the recovery
// does not count as a wait for it, unless the wait is over.
func (t Tries) Failed(err error, now time.Time) Tries {
	if t.Count == 0 {
		t.First = now
	}
	t.Count++
	switch {
	case t.behindFor(now) >= behindMax:
	case !errors.Is(err, errBehind):
		t.Behind = time.Time{}
	case t.Behind.IsZero():
		t.Behind = now
	}
	return t
}

// behindFor returns how long the event has waited for the recovery of the run before it.
func (t Tries) behindFor(now time.Time) time.Duration {
	if t.Behind.IsZero() {
		return 0
	}
	return now.Sub(t.Behind)
}

// repeated reports whether a run may have taken the event: in an earlier try, or from another reader.
func (a Arrival) repeated() bool { return a.Tries.Count > 0 || a.Tried || a.Redelivered }

// Taker is the run that has taken an event, now or before.
type Taker struct {
	Workflow, Run string       // Run is "" when it is not known
	Accepted      bool         // the run has the event as the Update that was offered, which it may answer yet
	Result        *step.Result // of that Update; nil: it still runs
}
