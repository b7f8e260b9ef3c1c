package invariants

import (
	"encoding/json"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// replies checks (b), the order of replies in a conversation, and that every reply belongs to an event of its
// conversation (d).
func (c *checker) replies() {
	last := map[string]int{} // place of the latest answered event of a conversation
	for _, r := range c.traffic.Replies {
		if r.Type != schemas.TypeStepReplied && r.Type != schemas.TypeStepLate && r.Type != schemas.TypeStepProgress {
			continue
		}
		var data schemas.StepReplied
		if err := json.Unmarshal(r.Data, &data); err != nil {
			c.problem("(g) reply %s cannot be read: %v", r.ID, err)
			continue
		}
		e, known := c.answered(r, data)
		if !known {
			continue
		}
		key := e.Key()
		switch r.Type {
		case schemas.TypeStepProgress:
			c.totals.Progress++
			if c.replied[key] > 0 {
				c.problem("(b) the progress message of %s came after its reply", key)
			}
			continue
		case schemas.TypeStepLate:
			c.totals.Late++
			c.late[key]++
			if e.Redriven {
				c.redrivenEnd(e, data)
			}
			continue
		}
		c.totals.Replies++
		c.totals.Outcomes[data.Outcome]++
		if data.Error != nil {
			c.totals.Failures[data.Error.Kind]++
		}
		c.replied[key]++
		c.answers[key] = data
		conversation := e.conversation()
		if before, earlier := last[conversation]; earlier && c.place[key] < before {
			c.problem("(b) in %s the reply to event %d came after that to event %d", conversation, c.place[key], before)
		}
		last[conversation] = max(last[conversation], c.place[key])
	}
}

// redrivenEnd checks that the outcomes of redriven events keep the order of their conversation (b), that they come after the
// first reply, and that nothing fails again.
func (c *checker) redrivenEnd(e Event, data schemas.StepReplied) {
	key, conversation := e.Key(), e.conversation()
	if before, earlier := c.redriven[conversation]; earlier && c.place[key] < before {
		c.problem("(b) in %s the outcome of redriven event %d came after that of event %d", conversation, c.place[key], before)
	}
	c.redriven[conversation] = max(c.redriven[conversation], c.place[key])
	if c.replied[key] == 0 {
		c.problem("(b) the outcome of redriven %s came before its reply", key)
	}
	if data.Outcome != schemas.OutcomeSuccess {
		c.problem("(a) redriven %s ended as %s", key, data.Outcome)
	}
}

// answered returns the event that a reply answers.
func (c *checker) answered(r schemas.Reply, data schemas.StepReplied) (Event, bool) {
	owner := strings.TrimPrefix(r.Source, "/hookturn/")
	if e, known := c.sent[owner+"/"+r.Subject+"/"+data.EventID]; known {
		return e, true
	}
	if keys := c.byID[data.EventID]; len(keys) > 0 {
		c.problem("(d) a reply to %s went to %s %s", strings.Join(keys, " or "), r.Source, r.Subject)
		return Event{}, false
	}
	c.problem("(a) reply %s of %s %s answers event %q, which was not sent", r.ID, r.Source, r.Subject, data.EventID)
	return Event{}, false
}

// ends checks (a) and the engine's half of (c): one terminal reply, or a dead letter.
func (c *checker) ends() {
	dead := map[string]int{}
	for _, letter := range c.traffic.DeadLetters {
		c.totals.DeadLetters++
		var event struct {
			ID      string `json:"id"`
			Subject string `json:"subject"`
		}
		_ = json.Unmarshal(letter.Data, &event) // one that cannot be read was no event
		dead[Event{ConversationKey: letter.WithConversation(event.Subject), ID: event.ID}.Key()]++
	}
	for _, e := range c.traffic.Sent {
		key := e.Key()
		n := c.replied[key] + dead[key]
		if c.answers[key].Outcome == schemas.OutcomeRejected { // a dead letter is answered
			n = c.replied[key]
		}
		if n != 1 {
			c.problem("(a) event %s has %d replies and %d dead letters", key, c.replied[key], dead[key])
		}
		if e.Background && dead[key] == 0 && c.late[key] != 1 {
			c.problem("(a) background event %s has %d ends", key, c.late[key])
		}
		if e.Redriven && c.late[key] == 0 {
			c.problem("(a) redriven event %s has no outcome", key)
		}
		if c.late[key] > 1 {
			c.problem("(c) event %s has %d late answers", key, c.late[key])
		}
	}
}
