package invariants

import (
	"encoding/json"

	"github.com/hookturn/hookturn/schemas"
)

// MemoryPath is the path of an endpoint of the haptik dialect that answers each request with details that no other
// answer has, under MemoryKey in conversation_details and in user_details. Each conversation has a user of its own.
// The next request of a conversation then shows which answer the conversation and the store of users remember.
const (
	MemoryPath = "/remember"
	MemoryKey  = "last"
)

// memories checks that each request holds the details that the engine received in the replies before it.
func (c *checker) memories() {
	expected := c.expectedMemories()
	seen := map[string]bool{}
	for _, r := range c.traffic.Requests {
		e, known := c.event(r)
		if !known || r.Path != MemoryPath || seen[e.Key()] {
			continue // a repeated request is compared with its first by requests
		}
		seen[e.Key()] = true
		want := expected[e.Key()]
		var body struct {
			Conversation map[string]string `json:"conversation_details"`
			User         map[string]string `json:"user_details"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			c.problem("(g) the request for %s cannot be read: %v", e.Key(), err)
			continue
		}
		c.totals.Remembered++
		if got := body.Conversation[MemoryKey]; got != want.conversation {
			c.problem("(c) before %s the conversation remembered %q, the engine received %q", e.Key(), got, want.conversation)
		}
		if got := body.User[MemoryKey]; got != want.user && !c.traffic.UsersForgotten {
			c.problem("(c) before %s the user's details held %q, the engine received %q", e.Key(), got, want.user)
		}
	}
}

// memory is what the replies before an event contained.
type memory struct{ conversation, user string }

// expectedMemories follows the replies of each conversation in the order of its events.
func (c *checker) expectedMemories() map[string]memory {
	now, expected := map[string]memory{}, map[string]memory{}
	for _, e := range c.traffic.Sent {
		expected[e.Key()] = now[e.conversation()]
		reply, answered := c.answers[e.Key()]
		if !answered {
			continue
		}
		m := now[e.conversation()]
		if details := detail(reply.ConversationDetails); details != "" {
			m.conversation = details
		}
		if details := detail(reply.UserDetails); details != "" {
			m.user = details
		}
		if reply.Conversation != "" && reply.Conversation != schemas.ConversationOpen {
			m.conversation = "" // a closed conversation forgets
		}
		now[e.conversation()] = m
	}
	return expected
}

func detail(raw json.RawMessage) string {
	var details map[string]any
	_ = json.Unmarshal(raw, &details) // absent or of another form: no detail
	text, _ := details[MemoryKey].(string)
	return text
}
