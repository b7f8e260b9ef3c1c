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
	// LeftOut is how many earlier replies Inspector.ReplyBytes has left out.
	LeftOut int `json:"left_out,omitempty"`
}

// Event is one event of a conversation and what came of it. What only the history of the run has is absent for events of
// older runs, what only the replies have for events whose replies have expired.
type Event struct {
	ID       string              `json:"id"`
	Type     string              `json:"type,omitempty"`
	Step     string              `json:"step,omitempty"`
	At       time.Time           `json:"at"`                // when it was accepted; not after its first attempt and reply
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

// newConversation returns a conversation without runs and events: empty lists, as JSON has them.
func newConversation(key schemas.ConversationKey) *Conversation {
	return &Conversation{ConversationKey: key, Runs: []Run{}, Events: []Event{}}
}

// Show returns a conversation with its latest runs; nil when neither Temporal nor the reply stream has any of it.
func (i *Inspector) Show(ctx context.Context, key schemas.ConversationKey, runs int) (*Conversation, error) {
	c := newConversation(key)
	var replies []Reply
	var leftOut int
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		replies, leftOut, err = i.replies(ctx, key)
		return err
	})
	group.Go(func() error { return i.readRuns(ctx, c, runs) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	c.LeftOut = leftOut
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
		if i.RepliesOnly {
			continue
		}
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

// answer adds a reply to the event that it answers, or that closed the conversation.
func (c *Conversation) answer(r Reply, i *Inspector) {
	for n := range c.Events {
		if e := &c.Events[n]; e.answeredBy(r) {
			e.Replies = append(e.Replies, r)
			e.notAfter(r.Time)
			for _, a := range r.Attempts {
				e.notAfter(a.Started)
			}
			return
		}
	}
	e := Event{ID: r.EventID, Step: r.Step, At: r.Time, Replies: []Reply{r}, Workflow: r.Workflow}
	if r.Workflow.ID != "" {
		e.URL = i.link(r.Workflow)
	}
	c.Events = append(c.Events, e)
}

// answeredBy reports whether a reply belongs to the event. A conversation.closed does not name its event.
func (e *Event) answeredBy(r Reply) bool {
	if r.EventID == "" && e.Result != nil && e.Result.Closed != "" {
		return r.Type == schemas.TypeConversationClosed && r.Workflow.RunID == e.Workflow.RunID
	}
	return r.EventID != "" && r.EventID == e.ID
}

// notAfter moves the time of the event to an earlier one: the server records that a run has accepted an event when the task
// ends in which the run also answered it.
func (e *Event) notAfter(t time.Time) {
	if !t.IsZero() && t.Before(e.At) {
		e.At = t
	}
}

// replies returns the stored replies of a conversation, and how many earlier ones ReplyBytes has left out.
func (i *Inspector) replies(ctx context.Context, key schemas.ConversationKey) (all []Reply, leftOut int, err error) {
	var sizes []int
	kept := 0
	err = bus.ReadReplies(ctx, i.Streams, bus.Tail{ConversationKey: key}, func(stored bus.StoredReply) (bool, error) {
		r, ok := readReply(stored, key)
		if !ok {
			return true, nil
		}
		all, sizes, kept = append(all, r), append(sizes, len(stored.Data)), kept+len(stored.Data)
		for i.ReplyBytes > 0 && kept > i.ReplyBytes && len(all) > 1 {
			all[0] = Reply{} // its text is not kept
			all, sizes, kept, leftOut = all[1:], sizes[1:], kept-sizes[0], leftOut+1
		}
		return true, nil
	})
	return all, leftOut, err
}

// readReply returns a stored reply to an event of a conversation. Two conversations may have one subject.
func readReply(stored bus.StoredReply, key schemas.ConversationKey) (r Reply, ok bool) {
	var envelope schemas.Reply
	if json.Unmarshal(stored.Data, &envelope) != nil || envelope.Subject != key.Conversation {
		return r, false
	}
	r = Reply{Type: envelope.Type, Time: envelope.Time}
	return r, json.Unmarshal(envelope.Data, &r.replyData) == nil
}

// TextOf returns what a message shows to the user: its text, or its HSL or payload as JSON.
func TextOf(m schemas.Message) string {
	switch m.Type {
	case schemas.MessageText:
		return m.Text
	case schemas.MessageHSL:
		return string(m.HSL)
	}
	return string(m.Payload)
}
