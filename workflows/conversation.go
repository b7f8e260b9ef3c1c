package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// seenMax bounds the ids by which a conversation knows its events again. A redelivery comes within minutes and from the few
// events that were in flight; the server's own memory of update ids covers the running run besides.
const seenMax = 512

// Conversation is the lane of one conversation: it takes events as Updates, one after another in the order they arrive,
// and keeps the state between them. It ends when the conversation was idle for its idle time-out, and continues as new
// when it has taken its number of events, or the server suggests it, and nothing is in flight.
//
// It promises that an event whose Update was accepted is answered exactly once and in order, whatever dies: accepted
// Updates are in history, replies carry ids made from the event's id, and an event that comes again is refused by id.
func Conversation(ctx workflow.Context, state step.State) error {
	c := &conversation{state: state, workflow: reference(ctx)}
	if err := c.listen(ctx); err != nil {
		return err
	}
	c.describe(ctx)
	return c.live(ctx)
}

// conversation is the running lane around its state.
type conversation struct {
	state    step.State
	workflow schemas.WorkflowRef
	lane     lane
	calling  *calling // the step in hand, while its endpoint may call back
	late     int      // answers that are still awaited after their step's reply
	taken    int      // events of this run
	marked   ending   // what the search attributes say
}

// quiet says that nothing is in hand: the run may end or continue as new.
func (c *conversation) quiet() bool { return c.lane.quiet() && c.late == 0 }

func (c *conversation) listen(ctx workflow.Context) error {
	for _, name := range step.UpdateNames() {
		err := workflow.SetUpdateHandlerWithOptions(ctx, name, c.take, workflow.UpdateHandlerOptions{Validator: c.admit})
		if err != nil {
			return err
		}
	}
	return c.listenForCallbacks(ctx)
}

// live waits until the run may end: continued as new, or idle for long enough. One timer serves the whole run; when it
// fires early because events came since, the next one is set for what is left, so a step costs no timer.
func (c *conversation) live(ctx workflow.Context) error {
	for {
		armed := c.state.IdleTimeout
		idle := workflow.AwaitOptions{
			Timeout:      max(c.idleLeft(ctx), time.Second),
			TimerOptions: workflow.TimerOptions{Summary: "idle time-out"},
		}
		_, err := workflow.AwaitWithOptions(ctx, idle, func() bool {
			return c.quiet() && (c.due(ctx) || c.state.IdleTimeout != armed)
		})
		if err != nil {
			return c.cancelled(ctx)
		}
		if err := workflow.Await(ctx, c.quiet); err != nil {
			return c.cancelled(ctx)
		}
		if c.due(ctx) {
			c.state.EventsPerRun = step.EventsPerRun
			return workflow.NewContinueAsNewError(ctx, step.WorkflowConversation, c.state)
		}
		if c.idleLeft(ctx) <= 0 {
			c.expire(ctx)
		}
		if c.idleLeft(ctx) <= 0 && c.quiet() {
			return nil
		}
	}
}

// due says that the run has become long enough to continue as new.
func (c *conversation) due(ctx workflow.Context) bool {
	if most := c.state.EventsPerRun; most > 0 && c.taken >= most {
		return true
	}
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

func (c *conversation) idleLeft(ctx workflow.Context) time.Duration {
	last := c.state.LastEvent
	if last.IsZero() {
		last = workflow.GetInfo(ctx).WorkflowStartTime
	}
	return c.state.IdleTimeout.D() - workflow.Now(ctx).Sub(last)
}

// expire drops the state of an idle conversation. It takes a place in the lane, so that an event that comes at the same
// moment waits for it and then finds a fresh conversation.
func (c *conversation) expire(ctx workflow.Context) {
	c.lane.enter(ctx)
	defer c.lane.leave()
	if c.idleLeft(ctx) > 0 {
		return
	}
	if w := c.state.Waiting; w != nil {
		c.reject(ctx, &refusal{*w, fault.New(fault.Expired, "the conversation was idle for %s", c.state.IdleTimeout)})
	}
	if c.state.Open {
		c.close(ctx, schemas.ClosedIdle)
	}
}

// cancelled answers a waiting step when an operator cancels the run, then ends it.
func (c *conversation) cancelled(ctx workflow.Context) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	c.lane.enter(ctx) // behind every event that was accepted
	if w := c.state.Waiting; w != nil {
		c.state.Waiting = nil
		c.reject(ctx, &refusal{*w, fault.New(fault.Cancelled, "the conversation's run was cancelled")})
	}
	c.lane.leave()
	if err := workflow.Await(ctx, c.quiet); err != nil { // events that came meanwhile
		return err
	}
	return temporal.NewCanceledError()
}

// admit refuses an Update before it enters history: an event that is known already, or entities that would not fit.
func (c *conversation) admit(_ workflow.Context, d step.Delivery) error {
	if slices.Contains(c.state.Seen, d.Event.ID) {
		return refuse(step.RefusedDuplicate, "the event was handled already")
	}
	if f := tooLarge(c.state, d); f != nil && d.Event.Type == schemas.TypeEntitiesCollected {
		return refuse(step.RefusedTooLarge, "%s", f.Message)
	}
	return nil
}

// take is the Update: one event, from its place in the lane to its reply.
func (c *conversation) take(ctx workflow.Context, d step.Delivery) (step.Result, error) {
	c.remember(d)
	c.lane.enter(ctx)
	defer c.lane.leave()

	now := workflow.Now(ctx)
	if f := tooLarge(c.state, d); f != nil && d.Refused == nil {
		d.Refused = f
	}
	if d.Refused == nil && !expired(d, now) {
		c.note(d)
	}
	c.state.LastEvent, c.state.LastEventID = now, d.Event.ID
	if d.IdleTimeout > 0 {
		c.state.IdleTimeout = d.IdleTimeout
	}
	result := c.act(ctx, decide(c.state, d, now), d)
	c.describe(ctx)
	return result, nil
}

// act does what was decided. The order of its lines is the order of the replies.
func (c *conversation) act(ctx workflow.Context, a action, d step.Delivery) step.Result {
	var result step.Result
	if a.cancel != nil {
		result = c.reject(ctx, a.cancel)
	}
	if a.refuse != nil {
		result = c.reject(ctx, a.refuse)
	}
	if a.cancel != nil || a.run != nil && a.run.Event.Type == schemas.TypeStepRequested {
		c.state.Waiting = nil
	}
	if a.wait != nil {
		kept := withoutEntities(*a.wait)
		c.state.Waiting = &kept
		result = c.tellMissing(ctx, a.wait, a.missing, d.Event)
	}
	if a.run != nil {
		result = c.runStep(ctx, a.run)
	}
	if a.end != "" {
		c.close(ctx, a.end)
		result.Closed = a.end
	}
	return result
}

func (c *conversation) remember(d step.Delivery) {
	c.taken++
	c.state.Seen = append(c.state.Seen, d.Event.ID)
	if extra := len(c.state.Seen) - seenMax; extra > 0 {
		c.state.Seen = slices.Delete(c.state.Seen, 0, extra)
	}
}

// note takes over what every event may bring: who the user is, the number of the conversation, entities.
func (c *conversation) note(d step.Delivery) {
	data := d.Event.Data
	if data.User != nil {
		c.state.User = *data.User
	}
	if data.ConversationNo != 0 {
		c.state.ConversationNo = data.ConversationNo
	}
	if len(data.Entities) > 0 && c.state.Entities == nil {
		c.state.Entities = make(map[string][]schemas.Entity, len(data.Entities))
	}
	for _, name := range workflow.DeterministicKeys(data.Entities) {
		c.state.Entities[name] = data.Entities[name]
	}
	brought := make(map[string]*string, len(data.Variables))
	for _, name := range workflow.DeterministicKeys(data.Variables) {
		value := data.Variables[name]
		brought[name] = &value
	}
	c.setVariables(brought)
	if d.Event.Type == schemas.TypeStepRequested {
		c.state.Open = true
	}
}
