package redrive

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// StepFilter chooses steps that ended in bot_break, failure or undelivered; empty members choose all.
type StepFilter struct {
	schemas.BotID

	Conversation, Step, Kind string // Kind is the error code
	Outcome                  schemas.Outcome
	Since, Until             time.Time // of the reply
}

// Step is a step that ended badly.
type Step struct {
	schemas.ConversationKey

	EventID  string              `json:"event_id"`
	Step     string              `json:"step"`
	Outcome  schemas.Outcome     `json:"outcome"`
	Kind     string              `json:"kind,omitempty"`
	Message  string              `json:"message,omitempty"`
	Time     time.Time           `json:"time"`
	Repeated int                 `json:"repeated,omitempty"` // how often it was, and ended badly again
	Workflow schemas.WorkflowRef `json:"workflow"`
	Sequence uint64              `json:"sequence"` // of its reply
}

// Steps repeats steps under new event ids.
type Steps struct {
	Inspector *inspect.Inspector
	Publisher *bus.Publisher
	Filter    StepFilter
}

func bad(o schemas.Outcome) bool {
	return o == schemas.OutcomeBotBreak || o == schemas.OutcomeFailure || o == schemas.OutcomeUndelivered
}

func (f StepFilter) selects(s Step) bool {
	return bad(s.Outcome) && (f.Step == "" || s.Step == f.Step) && (f.Kind == "" || s.Kind == f.Kind) &&
		(f.Outcome == "" || s.Outcome == f.Outcome) && (f.Until.IsZero() || s.Time.Before(f.Until)) &&
		(f.Conversation == "" || s.Conversation == f.Conversation)
}

// List returns the steps that the filter chooses, oldest first, from the stored replies. A step that a late answer or a
// repetition has brought to a good end is not among them.
func (s *Steps) List(ctx context.Context) ([]Step, error) {
	r := ends{bad: map[string]*Step{}, passedOn: map[string]bool{}}
	t := bus.Tail{ConversationKey: s.Filter.BotID.WithConversation(s.Filter.Conversation), Since: s.Filter.Since}
	err := bus.ReadReplies(ctx, s.Inspector.Streams, t, func(stored bus.StoredReply) (bool, error) {
		r.note(stored)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	var list []Step
	for _, one := range r.bad {
		if s.Filter.selects(*one) {
			list = append(list, *one)
		}
	}
	slices.SortFunc(list, func(a, b Step) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return list, nil
}

// ends are the ends of steps in the stored replies, by the event that asked.
type ends struct {
	bad      map[string]*Step
	passedOn map[string]bool // handed over or continued: a late answer changes nothing
}

// note takes a reply into account.
func (r *ends) note(stored bus.StoredReply) {
	var reply schemas.Reply
	if json.Unmarshal(stored.Data, &reply) != nil ||
		reply.Type != schemas.TypeStepReplied && reply.Type != schemas.TypeStepLate {
		return
	}
	owner, ok := schemas.ParseSubject(schemas.SubjectReplies, stored.Subject)
	var data schemas.StepReplied
	if !ok || json.Unmarshal(reply.Data, &data) != nil {
		return
	}
	of := owner.BotID.WithConversation(reply.Subject)
	key := of.Tenant + "/" + of.Bot + "/" + of.Conversation + "/" + data.EventID
	switch before := r.bad[key]; {
	case before != nil && (bad(data.Outcome) || data.Outcome == schemas.OutcomeRejected):
		before.Repeated++
	case before != nil:
		delete(r.bad, key)
	case data.Outcome == schemas.OutcomeHandover, data.Outcome == schemas.OutcomeContinued:
		r.passedOn[key] = true
	case bad(data.Outcome) && !r.passedOn[key] && ofAsked(of, reply, data):
		r.bad[key] = newStep(of, stored.Sequence, reply, data)
	}
}

// ofAsked reports whether a reply is the end of the step of the event that asked: its step.replied, or the late answer
// after its dead letter was replayed. Those of background queues and of repetitions are not.
func ofAsked(of schemas.ConversationKey, reply schemas.Reply, data schemas.StepReplied) bool {
	if reply.Type == schemas.TypeStepReplied {
		return true
	}
	queue := step.QueueID(of.BotID, data.Step)
	return reply.ID == schemas.ReplyID(of, data.EventID, schemas.TypeStepLate) && data.Workflow.ID != queue
}

func newStep(of schemas.ConversationKey, sequence uint64, reply schemas.Reply, data schemas.StepReplied) *Step {
	one := &Step{
		ConversationKey: of, EventID: data.EventID, Step: data.Step, Outcome: data.Outcome, Time: reply.Time,
		Workflow: data.Workflow, Sequence: sequence,
	}
	if data.Error != nil {
		one.Kind, one.Message = data.Error.Kind, data.Error.Message
	}
	return one
}

// reasonOf is the reason by which steps are counted.
func (s Step) reasonOf() string {
	if s.Kind == "" {
		return string(s.Outcome)
	}
	return s.Kind
}

// Count returns how many of the listed steps a repetition would publish, and leave out.
func (s *Steps) Count(ctx context.Context, list []Step) (Count, error) {
	c := Count{ByReason: map[string]int{}, LeftOut: map[string]int{}}
	for _, one := range list {
		_, left, err := s.event(ctx, one)
		if err != nil {
			return c, err
		}
		if left == "" {
			c.ByReason[one.reasonOf()]++
		} else {
			c.LeftOut[left]++
		}
	}
	return c, nil
}

// Run repeats the listed steps. name identifies the filter.
func (s *Steps) Run(ctx context.Context, o Options, name string, list []Step) (*Progress, error) {
	last := uint64(0)
	if len(list) > 0 {
		last = list[len(list)-1].Sequence
	}
	return run(ctx, o, "steps "+name, last, func(_ context.Context, p *Progress) ([]item, error) {
		var items []item
		for _, one := range list {
			if one.Sequence > p.After && one.Sequence <= p.UpTo {
				items = append(items, item{sequence: one.Sequence, reason: one.reasonOf(), publish: s.repeat(o, one)})
			}
		}
		return items, nil
	})
}

// repeats is how often a step was repeated, and by which redrive the last time.
type repeats struct {
	N       int    `json:"n"`
	Redrive string `json:"redrive"`
}

// repeat publishes a step's event again under the next id. The number is stored before: after a kill, the same redrive
// publishes the same id again, which is stored or handled once.
func (s *Steps) repeat(o Options, one Step) func(context.Context, *Progress) (string, error) {
	return func(ctx context.Context, p *Progress) (string, error) {
		event, left, err := s.event(ctx, one)
		if err != nil || left != "" {
			return left, err
		}
		name := fmt.Sprintf("repeats of %s/%s/%s/%s", one.Tenant, one.Bot, one.Conversation, one.EventID)
		var r repeats
		if _, err := o.Stored.Get(ctx, name, &r); err != nil {
			return "", err
		}
		if r.Redrive != p.ID {
			r = repeats{N: r.N + 1, Redrive: p.ID}
			if err := o.Stored.Put(ctx, name, r); err != nil {
				return "", err
			}
		}
		again := event.Repeat(r.N)
		again.Time = time.Now().UTC()
		raw, err := json.Marshal(again)
		if err != nil {
			return "", err
		}
		_, _, err = s.Publisher.PublishEvent(ctx, one.ConversationKey, raw, again.ID, nil)
		return "", err
	}
}

// event returns the event that asked for a step, from the history of its run.
func (s *Steps) event(ctx context.Context, one Step) (event schemas.Event, left string, err error) {
	if one.Kind == string(fault.QueueFull) {
		return event, LeftQueued, nil
	}
	found, err := s.Inspector.Event(ctx, one.Workflow, one.EventID)
	switch {
	case err != nil:
		return event, "", err
	case found == nil:
		return event, LeftHistory, nil
	}
	event = found.Event
	if u := found.UsefulUntil; u != nil && (event.ExpiryTime == nil || u.Before(*event.ExpiryTime)) {
		event.ExpiryTime = u
	}
	if event.ExpiryTime != nil && time.Now().After(*event.ExpiryTime) {
		return event, LeftExpired, nil
	}
	event.Extensions = maps.Clone(event.Extensions)
	return event, "", nil
}
