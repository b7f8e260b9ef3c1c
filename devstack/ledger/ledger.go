// Package ledger checks what must always hold (design, section 4) over the books of both ends: what the engine sent and got,
// what the endpoints saw, and what was logged. It is used after a load of any mixture, with any faults in between.
//
// What it finds is a list of sentences; none means that the books balance. A checker that finds nothing on books that are
// wrong is worse than none, so every sentence has a test that provokes it.
package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

// Event is one event that JetStream accepted.
type Event struct {
	schemas.ConversationKey

	ID string
	// Background says that the step's reply only accepts it: its end must come as hookturn.step.late.
	Background bool
	// Unordered says that the endpoint may see this step beside another of its conversation: it runs in the background, or
	// its late answer is awaited.
	Unordered bool
}

func (e Event) lane() string { return e.Tenant + "/" + e.Bot + "/" + e.Conversation }

// Text is something that people read, and what it is: a log, the metrics, the replies.
type Text struct {
	Name    string
	Content []byte
}

// Books are both ends of a load.
type Books struct {
	Sent        []Event // in the order in which they were published; a terminal reply is due for each
	Replies     []schemas.Reply
	DeadLetters [][]byte // payloads
	Requests    []endpoint.Entry
	// Hidden are texts that nothing may show: secrets, and canaries from the bodies of endpoints.
	Hidden []string
	Texts  []Text
}

// Totals are what a check has counted.
type Totals struct {
	Events, Replies, Late, Progress, DeadLetters, Requests, Repeated int
	Outcomes                                                         map[schemas.Outcome]int
	Failures                                                         map[string]int
}

// Check gives a sentence for everything that does not hold.
func (b Books) Check() (Totals, []string) {
	c := &checker{
		books: b, totals: Totals{Outcomes: map[schemas.Outcome]int{}, Failures: map[string]int{}},
		sent: map[string]Event{}, place: map[string]int{}, replied: map[string]int{}, late: map[string]int{},
	}
	for i, e := range b.Sent {
		c.sent[e.ID], c.place[e.ID] = e, i
	}
	c.totals.Events, c.totals.Requests = len(b.Sent), len(b.Requests)
	c.replies()
	c.ends()
	c.requests()
	c.overlaps()
	c.leaks()
	slices.Sort(c.problems)
	return c.totals, c.problems
}

type checker struct {
	books         Books
	totals        Totals
	sent          map[string]Event
	place         map[string]int // of an event in the order of sending
	replied, late map[string]int
	problems      []string
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// replies checks (b), the order of replies in a conversation, and that every reply belongs to an event of its tenant (d).
func (c *checker) replies() {
	last := map[string]int{} // place of the latest answered event of a conversation
	for _, r := range c.books.Replies {
		if r.Type != schemas.TypeStepReplied && r.Type != schemas.TypeStepLate && r.Type != schemas.TypeStepProgress {
			continue
		}
		var data schemas.StepReplied
		if err := json.Unmarshal(r.Data, &data); err != nil {
			c.problem("(g) reply %s cannot be read: %v", r.ID, err)
			continue
		}
		e, known := c.sent[data.EventID]
		if !known {
			c.problem("(a) reply %s answers event %q, which nobody sent", r.ID, data.EventID)
			continue
		}
		if r.Subject != e.Conversation || r.Source != "/hookturn/"+e.Tenant+"/"+e.Bot {
			c.problem("(d) the reply to %s went to %s %s, not to %s", e.ID, r.Source, r.Subject, e.lane())
		}
		switch r.Type {
		case schemas.TypeStepProgress:
			c.totals.Progress++
			if c.replied[e.ID] > 0 {
				c.problem("(b) the progress message of %s came after its reply", e.ID)
			}
			continue
		case schemas.TypeStepLate:
			c.totals.Late++
			c.late[e.ID]++
			continue
		}
		c.totals.Replies++
		c.totals.Outcomes[data.Outcome]++
		if data.Error != nil {
			c.totals.Failures[data.Error.Kind]++
		}
		c.replied[e.ID]++
		lane := e.lane()
		if before, earlier := last[lane]; earlier && c.place[e.ID] < before {
			c.problem("(b) in %s the reply to event %d came after that to event %d", lane, c.place[e.ID], before)
		}
		last[lane] = max(last[lane], c.place[e.ID])
	}
}

// ends checks (a) and the engine's half of (c): one terminal reply, or a dead letter.
func (c *checker) ends() {
	dead := map[string]int{}
	for _, letter := range c.books.DeadLetters {
		c.totals.DeadLetters++
		var event struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(letter, &event) // one that cannot be read was no event
		dead[event.ID]++
	}
	for _, e := range c.books.Sent {
		if n := c.replied[e.ID] + dead[e.ID]; n != 1 {
			c.problem("(a) event %s of %s has %d replies and %d dead letters", e.ID, e.lane(), c.replied[e.ID], dead[e.ID])
		}
		if e.Background && dead[e.ID] == 0 && c.late[e.ID] != 1 {
			c.problem("(a) background event %s has %d ends", e.ID, c.late[e.ID])
		}
		if c.late[e.ID] > 1 {
			c.problem("(c) event %s has %d late answers", e.ID, c.late[e.ID])
		}
	}
}

// requests checks the endpoint's half of (c): attempts of one step have one body and one id; and (d): what a tenant's
// endpoint sees is that tenant's.
func (c *checker) requests() {
	first := map[string]endpoint.Entry{}
	for _, r := range c.books.Requests {
		e, known := c.sent[r.WebhookID]
		if !known {
			c.problem("(c) the endpoint saw %s for %q, which nobody sent", r.Path, r.WebhookID)
			continue
		}
		if before, again := first[r.WebhookID]; again {
			c.totals.Repeated++
			if !bytes.Equal(before.Body, r.Body) || before.Path != r.Path {
				c.problem("(c) attempts %d and %d of %s are not the same request", before.Attempt, r.Attempt, r.WebhookID)
			}
		} else {
			first[r.WebhookID] = r
		}
		if owner := r.Header.Get(OwnerHeader); owner != "" && owner != e.Tenant {
			c.problem("(d) a request for %s of tenant %s says that it is %s's", e.ID, e.Tenant, owner)
		}
		for _, other := range c.tenants() {
			if other != e.Tenant && bytes.Contains(r.Body, []byte(Mark(other))) {
				c.problem("(d) a request for %s of tenant %s holds what is %s's", e.ID, e.Tenant, other)
			}
		}
	}
}

// OwnerHeader is a header by which a bot file says whose it is. Mark is what a tenant's events hold, for the same reason.
const OwnerHeader = "X-Owner"

// Mark is a text that only this tenant's events hold.
func Mark(tenant string) string { return "mark-of-" + tenant }

func (c *checker) tenants() []string {
	var all []string
	for _, e := range c.books.Sent {
		if !slices.Contains(all, e.Tenant) {
			all = append(all, e.Tenant)
		}
	}
	return all
}

// overlaps checks that no endpoint saw two steps of one conversation at the same time, nor in another order. What an
// endpoint has seen before may come again at any time, by (c): a worker that was taken for dead may still send the attempt
// that it had begun.
func (c *checker) overlaps() {
	lanes := map[string][]endpoint.Entry{}
	for _, r := range c.books.Requests {
		if e, known := c.sent[r.WebhookID]; known && !e.Unordered {
			lane := e.lane()
			lanes[lane] = append(lanes[lane], r)
		}
	}
	for lane, requests := range lanes {
		seen := map[string]bool{requests[0].WebhookID: true}
		for i := 1; i < len(requests); i++ {
			before, after := requests[i-1], requests[i]
			if seen[after.WebhookID] {
				continue
			}
			seen[after.WebhookID] = true
			if c.place[after.WebhookID] < c.place[before.WebhookID] {
				c.problem("(b) in %s the endpoint saw event %d (attempt %d, %s, at %s) after event %d (attempt %d, %s, at %s)", lane,
					c.place[after.WebhookID], after.Attempt, after.Path, clock(after.In),
					c.place[before.WebhookID], before.Attempt, before.Path, clock(before.In))
			}
			if before.Status != 0 && !before.Gone && (before.Out.IsZero() || after.In.Before(before.Out)) {
				c.problem("(b) in %s the endpoint saw event %d before it had answered event %d", lane, c.place[after.WebhookID],
					c.place[before.WebhookID])
			}
		}
	}
}

func clock(at time.Time) string { return at.Format("15:04:05.000") }

// leaks checks (e).
func (c *checker) leaks() {
	for _, text := range c.books.Texts {
		for i, hidden := range c.books.Hidden {
			if at := bytes.Index(text.Content, []byte(hidden)); at >= 0 {
				line := text.Content[max(0, at-200):min(len(text.Content), at+50)]
				c.problem("(e) %s shows hidden text %d: %q", text.Name, i, line)
			}
		}
	}
}

// String is one line of totals.
func (t Totals) String() string {
	var parts []string
	for _, o := range schemas.Outcomes() {
		if n := t.Outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", o, n))
		}
	}
	return fmt.Sprintf("%d events, %d replies (%s), %d late, %d progress, %d dead letters, %d requests, %d of them repeated",
		t.Events, t.Replies, strings.Join(parts, ", "), t.Late, t.Progress, t.DeadLetters, t.Requests, t.Repeated)
}
