package workflows

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Conversation is the run of one conversation: every event is an Update, handled in the order of arrival, and the state
// between them is the run's. The run completes when the conversation is closed or was idle for its idle timeout, with a
// result that holds the ids of its events. It continues as new when it has taken its number of events or of bytes.
//
// It promises that an event whose Update was accepted is answered exactly once and in order, whatever fails: accepted
// Updates are in history, replies carry ids made from the event's id, and a repeated event is rejected by its id.
func Conversation(ctx workflow.Context, state step.State) (*step.ConversationResult, error) {
	c := &conversation{state: state, workflow: reference(ctx)}
	cutTexts(c.state.Recent)
	cutTexts(c.state.Failures)
	if state.Format >= step.FormatKeepsAccepted {
		c.visible = visibleAtStart(ctx)
	}
	if err := c.setHandlers(ctx); err != nil {
		return nil, err
	}
	c.setCurrentDetails(ctx)
	return c.run(ctx)
}

// conversation is the run around its state.
type conversation struct {
	state    step.State
	workflow schemas.WorkflowRef
	turns    turns
	calling  *calling  // the step in hand, while its endpoint may call back
	steps    int       // steps that this run has made and published
	late     int       // answers that are still awaited after their step's reply
	load     load      // what this run has taken
	closed   string    // why the conversation was closed by the latest event, "" while it is open
	visible  visible   // what the search attributes hold
	arrived  time.Time // when the event in hand was accepted; zero = no event is
}

// idle reports whether nothing is in hand: the run may complete or continue as new.
func (c *conversation) idle() bool { return c.turns.idle() && c.late == 0 }

func (c *conversation) setHandlers(ctx workflow.Context) error {
	for _, name := range step.UpdateNames() {
		options := workflow.UpdateHandlerOptions{Validator: c.validate}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, name, c.handleEvent, options); err != nil {
			return err
		}
	}
	return c.listenForCallbacks(ctx)
}

// validate rejects an Update before it enters history: a known event, one that the run has no room for, or entities that
// the state has no room for. One place among the run's unfinished Updates stays free from the start: a step may wait for its
// callback behind which the events wait.
func (c *conversation) validate(ctx workflow.Context, d step.Delivery) error {
	if slices.Contains(c.state.Seen, d.Event.ID) {
		return reject(step.RejectedDuplicate, "the event was handled already")
	}
	if c.load.unanswered >= unansweredMax {
		return reject(step.RejectedLimit, "%d events of the conversation are not answered yet: try again", unansweredMax)
	}
	if c.full(ctx, d.Size) {
		return reject(step.RejectedBusy, "the run has taken as much as it can and is about to continue as new: try again")
	}
	if f := tooLarge(c.state, d); f != nil && d.Event.Type == schemas.TypeEntitiesCollected {
		return reject(step.RejectedTooLarge, "%s", f.Message)
	}
	return nil
}

// handleEvent is the Update: one event, from its turn to its reply.
func (c *conversation) handleEvent(ctx workflow.Context, d step.Delivery) (step.Result, error) {
	c.markSeen(d)
	arrived := workflow.Now(ctx)
	c.turns.wait(ctx)
	defer c.turns.end()
	defer c.load.end(d.Size)

	c.closed, c.arrived = "", arrived
	defer func() { c.arrived = time.Time{} }()
	now := workflow.Now(ctx)
	if f := tooLarge(c.state, d); f != nil && d.Refused == nil {
		d.Refused = f
	}
	if d.Refused == nil && !expired(d, now) {
		c.mergeEvent(d)
	}
	c.state.LastEvent, c.state.LastEventID, c.state.LastStored = now, d.Event.ID, d.Since()
	if d.IdleTimeout > 0 {
		c.state.IdleTimeout = d.IdleTimeout
	}
	result := c.apply(ctx, decide(c.state, d, now), d)
	c.idleFromNow(ctx)
	c.setCurrentDetails(ctx)
	return result, nil
}

// apply does what was decided. The order of its lines is the order of the replies.
func (c *conversation) apply(ctx workflow.Context, a action, d step.Delivery) step.Result {
	var result step.Result
	if a.cancel != nil {
		result = c.reject(ctx, a.cancel)
	}
	if a.reject != nil {
		result = c.reject(ctx, a.reject)
	}
	if a.cancel != nil || a.run != nil && a.run.Event.Type == schemas.TypeStepRequested {
		c.state.Waiting = nil
	}
	if a.wait != nil {
		kept := withoutEntities(*a.wait)
		c.state.Waiting = &kept
		result = c.publishMissing(ctx, a.wait, a.missing, d)
	}
	if a.run != nil {
		result = c.runStep(ctx, a.run)
	}
	if a.end != "" {
		c.close(ctx, a.end, false)
		result.Closed = a.end
	}
	return result
}

// markSeen records the event's id and what it adds to the run.
func (c *conversation) markSeen(d step.Delivery) {
	c.load.begin(d.Size)
	c.state.Seen = latest(append(c.state.Seen, d.Event.ID))
}

// latest keeps the latest ids of a list within seenMax and seenBytesMax.
func latest(ids []string) []string {
	bytes, from := 0, len(ids)
	for from > 0 && len(ids)-from < seenMax && bytes+len(ids[from-1]) <= seenBytesMax {
		from--
		bytes += len(ids[from])
	}
	return slices.Delete(ids, 0, from)
}

// mergeEvent takes over what every event may bring: who the user is, the number of the conversation, entities, variables.
func (c *conversation) mergeEvent(d step.Delivery) {
	data := d.Event.Data
	if data.User != nil {
		c.state.User = *data.User
	}
	if data.ConversationNo != 0 {
		c.state.ConversationNo = data.ConversationNo
	}
	if c.state.Round == "" && c.state.Format != step.FormatLingering {
		c.state.Round = d.Event.ID
	}
	c.mergeParams(data.Params)
	c.mergeEntities(d)
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

// mergeEntities adds an event's entities. A step that wants fresh ones forgets those of earlier steps first. The old map
// stays as it is: an activity may have it.
func (c *conversation) mergeEntities(d step.Delivery) {
	var stale []string
	if d.Event.Type == schemas.TypeStepRequested && d.Plan != nil {
		stale = d.Plan.Fresh
	}
	brought := d.Event.Data.Entities
	if len(brought)+len(stale) == 0 {
		return
	}
	entities := maps.Clone(c.state.Entities)
	if entities == nil {
		entities = make(map[string][]schemas.Entity, len(brought))
	}
	for _, name := range stale {
		delete(entities, name)
	}
	for _, name := range workflow.DeterministicKeys(brought) {
		entities[name] = brought[name]
	}
	c.state.Entities = entities
}

// mergeParams keeps an event's params for later steps, as long as all fit. The event's own step has them in any case.
func (c *conversation) mergeParams(brought map[string]json.RawMessage) {
	if len(brought) == 0 {
		return
	}
	params := maps.Clone(c.state.Params)
	if params == nil {
		params = make(map[string]json.RawMessage, len(brought))
	}
	for _, name := range workflow.DeterministicKeys(brought) {
		params[name] = brought[name]
	}
	if size(params) <= paramsMax {
		c.state.Params = params
	}
}
