package intake

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Rollout knows whether another starter may have what the bot files of this one do not have. *rollout.Files is one.
type Rollout interface {
	// Wait returns how long an event that JetStream stored at a time waits for it; 0: the event names what no starter has, or
	// is to be answered now. answerBy is when it is to be answered, nil: whenever.
	Wait(ctx context.Context, own *bot.Set, id schemas.BotID, stored time.Time, answerBy *time.Time) (time.Duration, error)
}

// Bounds of the events of one tenant that wait for bot files in this process, by their bytes: an event counts as
// behindEventMin bytes at least, so that 1,024 small ones wait. The tenants without a bot here share one bound: an engine
// may publish under any name.
const (
	behindBytesMax = 32 << 20
	behindEventMin = 32 << 10
)

// behind is the error of an event that waits for bot files: it names a bot, a step or an adapter that another starter may
// have, and that this one does not have yet.
type behind struct {
	until context.Context //nolint:containedctx // it is the wait itself
	err   error           // why the other starters are not known: then the event is tried again
}

func (b *behind) Error() string {
	return "the bot files of this starter may be older than those of another one"
}

func (b *behind) Unwrap() error { return b.err }

// outcome keeps the event at the head of its conversation, without a slot.
func (b *behind) outcome() eventreader.Outcome {
	if b.err != nil {
		return eventreader.Retry("read_starters", b.err)
	}
	return eventreader.Hold(b.until, "bot_files_differ")
}

// await returns a *behind when an event that a Set of bots cannot serve is to wait for a newer Set, nil when it is to be
// rejected: when too much of its tenant waits already, too. useful is its latest useful moment, nil without one.
func (i *Intake) await(ctx context.Context, own *bot.Set, m *eventreader.Message, useful *time.Time) error {
	if i.Rollout == nil {
		return nil
	}
	wait, err := i.Rollout.Wait(ctx, own, m.BotID, m.Received, answerBy(useful))
	if err != nil {
		return &behind{err: err}
	}
	if wait <= 0 {
		return nil
	}
	tenant := m.Tenant
	if !own.HasTenant(tenant) {
		tenant = "_"
	}
	release, ok := i.behind.TakeMany(tenant, max(behindEventMin, len(m.Data)+m.HeaderBytes), behindBytesMax)
	if !ok {
		return nil
	}
	until, end := context.WithCancel(context.Background())
	over := sync.OnceFunc(func() {
		release() // whatever becomes of the event, and before it is tried again
		end()
	})
	stop := context.AfterFunc(own.Replaced(), over)
	time.AfterFunc(wait, func() { stop(); over() })
	if events, due := i.behindLines.Due(tenant, time.Now()); due {
		i.Log.InfoContext(ctx, "event names an unknown bot, step or adapter, waiting for the bot files; "+
			"further ones are counted for a minute", "tenant", tenant, "events", events, "retry_in", wait,
			"hint", "compare the bot files of the starters when this goes on: they differ, or have changed a moment ago")
	}
	return &behind{until: until}
}

// errUnknownAdapter is the cause of the fault of an event that names an adapter which its bot does not have.
var errUnknownAdapter = errors.New("unknown adapter")

// ofUnknownName reports whether a delivery is rejected because it names a step or an adapter that the bot file does not
// have, and that a newer one may have. What else the bot file does not serve, such as an image to an adapter that takes
// text, is routine and is rejected at once: a wait would stop the conversation each time.
func ofUnknownName(f *fault.Fault) bool {
	return f != nil && (f.Kind == fault.UnknownStep || errors.Is(f, errUnknownAdapter))
}
