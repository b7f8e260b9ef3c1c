package invariants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/devstack/endpoint"
)

// OwnerHeader is a header by which a bot file declares whose it is. Mark is what a tenant's events hold, for the same
// reason.
const OwnerHeader = "X-Owner"

// Mark is a text that only this tenant's events hold.
func Mark(tenant string) string { return "mark-of-" + tenant }

// EventMark is a text that a request holds whose event's id is not unique among all events.
func EventMark(e Event) string { return eventMark + e.Key() + ";" }

const eventMark = "event-key:"

// event returns the event that a request was made for: by its mark, else by its webhook id.
func (c *checker) event(r endpoint.Entry) (Event, bool) {
	if _, after, found := bytes.Cut(r.Body, []byte(eventMark)); found {
		key, _, _ := bytes.Cut(after, []byte(";"))
		e, known := c.sent[string(key)]
		return e, known
	}
	if keys := c.byID[r.WebhookID]; len(keys) == 1 {
		return c.sent[keys[0]], true
	}
	return Event{}, false
}

// requests checks the endpoint's half of (c): attempts of one step have one body and one id; and (d): what a tenant's
// endpoint receives is that tenant's.
func (c *checker) requests() {
	type seen struct {
		first    endpoint.Entry
		attempts map[int]bool
		answered bool
	}
	events := map[string]*seen{}
	for _, r := range c.traffic.Requests {
		e, known := c.event(r)
		if !known {
			c.problem("(c) the endpoint received %s for %q, which was not sent", r.Path, r.WebhookID)
			continue
		}
		if before := events[e.Key()]; before != nil {
			c.totals.Repeated++
			if before.attempts[r.Attempt] || before.answered {
				c.totals.Duplicates++
				c.totals.Doubled = append(c.totals.Doubled, fmt.Sprintf("%s attempt %d at %s after attempt %d at %s to %s",
					e.Key(), r.Attempt, clock(r.In), before.first.Attempt, clock(before.first.In), clock(before.first.Out)))
			}
			if !bytes.Equal(withoutUserDetails(before.first.Body), withoutUserDetails(r.Body)) || before.first.Path != r.Path {
				c.problem("(c) attempts %d and %d of %s are not the same request: %s", before.first.Attempt, r.Attempt, e.Key(),
					difference(before.first, r))
			}
		} else {
			events[e.Key()] = &seen{first: r, attempts: map[int]bool{}}
		}
		events[e.Key()].attempts[r.Attempt] = true
		if r.Status == http.StatusOK {
			events[e.Key()].answered = true
		}
		c.owner(r, e)
	}
}

// difference names what two requests differ in.
func difference(first, again endpoint.Entry) string {
	if first.Path != again.Path {
		return first.Path + " and " + again.Path
	}
	var a, b map[string]json.RawMessage
	if json.Unmarshal(first.Body, &a) != nil || json.Unmarshal(again.Body, &b) != nil {
		return fmt.Sprintf("%q and %q", first.Body, again.Body)
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if !bytes.Equal(a[name], b[name]) {
			all = append(all, fmt.Sprintf("%s is %.200s and %.200s", name, a[name], b[name]))
		}
		delete(a, name)
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		all = append(all, name+" is missing")
	}
	return strings.Join(all, ", ")
}

// withoutUserDetails is a body without the user's details: another conversation of the user may change them between
// two attempts.
func withoutUserDetails(body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members["user_details"] == nil {
		return body
	}
	delete(members, "user_details")
	text, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return text
}

func (c *checker) owner(r endpoint.Entry, e Event) {
	if owner := r.Header.Get(OwnerHeader); owner != "" && owner != e.Tenant {
		c.problem("(d) a request for %s declares that it is %s's", e.Key(), owner)
	}
	for _, other := range c.tenants() {
		if other != e.Tenant && bytes.Contains(r.Body, []byte(Mark(other))) {
			c.problem("(d) a request for %s holds what is %s's", e.Key(), other)
		}
	}
}

func (c *checker) tenants() []string {
	var all []string
	for _, e := range c.traffic.Sent {
		if !slices.Contains(all, e.Tenant) {
			all = append(all, e.Tenant)
		}
	}
	return all
}

// overlaps checks that no endpoint received two steps of one conversation at the same time, nor in another order. An attempt
// that an endpoint has received before may come again at any time, by (c): a worker that was taken for dead may still send
// what it had begun.
func (c *checker) overlaps() {
	conversations := map[string][]endpoint.Entry{}
	for _, r := range c.traffic.Requests {
		if e, known := c.event(r); known && !e.Unordered {
			conversations[e.conversation()] = append(conversations[e.conversation()], r)
		}
	}
	for conversation, requests := range conversations {
		seen := map[string]int{} // the latest attempt of each event
		var before endpoint.Entry
		for i, r := range requests {
			e, _ := c.event(r)
			latest, again := seen[e.Key()]
			if i > 0 && !again {
				earlier, _ := c.event(before)
				c.inOrder(conversation, before, earlier, r, e)
			}
			if !again || r.Attempt > latest {
				seen[e.Key()], before = r.Attempt, r
			}
		}
	}
}

func (c *checker) inOrder(conversation string, r endpoint.Entry, before Event, next endpoint.Entry, after Event) {
	if c.place[after.Key()] < c.place[before.Key()] {
		c.problem("(b) in %s the endpoint received %s after %s", conversation, c.described(after, next), c.described(before, r))
	}
	if r.Status != 0 && !r.Gone && (r.Out.IsZero() || next.In.Before(r.Out)) {
		c.problem("(b) in %s the endpoint received event %d before it had answered event %d", conversation, c.place[after.Key()],
			c.place[before.Key()])
	}
}

func (c *checker) described(e Event, r endpoint.Entry) string {
	return fmt.Sprintf("event %d (attempt %d, %s, at %s)", c.place[e.Key()], r.Attempt, r.Path, clock(r.In))
}

func clock(at time.Time) string { return at.Format("15:04:05.000") }

// leaks checks (e).
func (c *checker) leaks() {
	for _, text := range c.traffic.Texts {
		for i, hidden := range c.traffic.Hidden {
			if at := bytes.Index(text.Content, []byte(hidden)); at >= 0 {
				line := text.Content[max(0, at-200):min(len(text.Content), at+50)]
				c.problem("(e) %s shows hidden text %d: %q", text.Name, i, line)
			}
		}
	}
}
