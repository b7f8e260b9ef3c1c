package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Conversation is all that is known of one conversation, oldest first.
type Conversation struct {
	schemas.ConversationKey

	Runs   []Run   `json:"runs"` // the latest ones
	Events []Event `json:"events"`
}

// Event is one event of a conversation and what came of it. What only the history of the run has is absent for events of
// older runs, what only the replies have for events whose replies have expired.
type Event struct {
	ID       string              `json:"id"`
	Type     string              `json:"type,omitempty"`
	Step     string              `json:"step,omitempty"`
	At       time.Time           `json:"at"`                // when it was accepted; else the time of its first reply
	Message  json.RawMessage     `json:"message,omitempty"` // of the user
	InHand   bool                `json:"in_hand,omitempty"` // not answered yet
	Result   *step.Result        `json:"result,omitempty"`
	Replies  []Reply             `json:"replies"`
	Workflow schemas.WorkflowRef `json:"workflow"`
	URL      string              `json:"url"`
}

// Reply is one reply to an event.
type Reply struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`

	replyData
}

// replyData holds the members of all types of replies.
type replyData struct {
	EventID  string              `json:"event_id,omitempty"`
	Step     string              `json:"step,omitempty"`
	Outcome  schemas.Outcome     `json:"outcome,omitempty"`
	Missing  []string            `json:"missing,omitempty"`
	Messages []schemas.Message   `json:"messages,omitempty"`
	Error    *schemas.Error      `json:"error,omitempty"`
	Attempts []schemas.Attempt   `json:"attempts,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Workflow schemas.WorkflowRef `json:"workflow,omitzero"`
}

// Show returns a conversation with its latest runs; nil when neither Temporal nor the reply stream has any of it.
func (i *Inspector) Show(ctx context.Context, key schemas.ConversationKey, runs int) (*Conversation, error) {
	c := &Conversation{ConversationKey: key}
	var replies []Reply
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		replies, err = i.replies(ctx, key)
		return err
	})
	group.Go(func() error { return i.readRuns(ctx, c, runs) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, r := range replies {
		c.answer(r, i)
	}
	slices.SortStableFunc(c.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	if len(c.Runs)+len(c.Events) == 0 {
		return nil, nil
	}
	return c, nil
}

// readRuns reads the latest runs of a conversation, those of its steps without an order included, with their events.
func (i *Inspector) readRuns(ctx context.Context, c *Conversation, limit int) error {
	id := step.ConversationID(c.ConversationKey)
	page, err := i.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: i.Namespace, PageSize: int32(min(limit, pageSize)),
		Query: "WorkflowId = " + step.Quote(id) + " OR WorkflowId STARTS_WITH " + step.Quote(step.IDPrefix(c.ConversationKey)),
	})
	if err != nil {
		return fmt.Errorf("list the runs of a conversation: %w", err)
	}
	events := make([][]handled, len(page.GetExecutions()))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for n, info := range page.GetExecutions() {
		run := i.run(info)
		run.ConversationKey = c.ConversationKey
		c.Runs = append(c.Runs, run)
		group.Go(func() (err error) {
			events[n], err = i.history(ctx, run.Workflow)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n, run := range c.Runs {
		for _, h := range events[n] {
			c.add(run, h)
		}
	}
	slices.Reverse(c.Runs)
	return nil
}

func (c *Conversation) add(run Run, h handled) {
	e := Event{
		ID: h.event.ID, Type: h.event.Type, Step: h.event.Data.Step, At: h.at, Message: h.event.Data.Message,
		InHand: !h.done && run.Ended == nil, Replies: []Reply{}, Workflow: run.Workflow, URL: run.URL,
	}
	if h.done {
		e.Result = &h.result
	}
	c.Events = append(c.Events, e)
}

// answer adds a reply to the event that it answers.
func (c *Conversation) answer(r Reply, i *Inspector) {
	for n := range c.Events {
		if r.EventID != "" && c.Events[n].ID == r.EventID {
			c.Events[n].Replies = append(c.Events[n].Replies, r)
			return
		}
	}
	e := Event{ID: r.EventID, Step: r.Step, At: r.Time, Replies: []Reply{r}, Workflow: r.Workflow}
	if r.Workflow.ID != "" {
		e.URL = i.link(r.Workflow)
	}
	c.Events = append(c.Events, e)
}

// replies returns the stored replies of a conversation.
func (i *Inspector) replies(ctx context.Context, key schemas.ConversationKey) ([]Reply, error) {
	var all []Reply
	err := bus.ReadReplies(ctx, i.Streams, bus.Tail{ConversationKey: key}, func(stored bus.StoredReply) (bool, error) {
		var envelope schemas.Reply
		if json.Unmarshal(stored.Data, &envelope) == nil && envelope.Subject == key.Conversation { // two ids may have one token
			r := Reply{Type: envelope.Type, Time: envelope.Time}
			if json.Unmarshal(envelope.Data, &r.replyData) == nil {
				all = append(all, r)
			}
		}
		return true, nil
	})
	return all, err
}
