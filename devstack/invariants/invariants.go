// Package invariants checks what must always hold (design, section 4) over recorded traffic of both ends: what the
// engine sent and received, what the endpoints received, and what was logged. It is used after a load of any mixture,
// with any faults in between.
//
// Check returns a sentence for everything that does not hold. A checker that finds nothing in traffic that is wrong is
// worse than none, so that every sentence has a test that provokes it.
package invariants

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

// Event is one event that JetStream accepted.
type Event struct {
	schemas.ConversationKey

	ID string // unique within its conversation
	// Background reports that the step's reply only accepts it: its end must come as hookturn.step.late.
	Background bool
	// Unordered reports that the endpoint may receive this step beside another of its conversation: it runs in the
	// background, or its late answer is awaited.
	Unordered bool
	// Redriven reports that an operator has repeated its step, or replayed its dead letter: the outcome must come once as
	// hookturn.step.late, in the order of the conversation's redriven events.
	Redriven bool
}

func (e Event) conversation() string { return e.Tenant + "/" + e.Bot + "/" + e.Conversation }

// Key identifies the event among all events.
func (e Event) Key() string { return e.conversation() + "/" + e.ID }

// Text is something that people read, and what it is: a log, the metrics, the replies.
type Text struct {
	Name    string
	Content []byte
}

// DeadLetter is an event that could not be handled, and whose it is.
type DeadLetter struct {
	schemas.BotID

	Data []byte // the event's payload
}

// Traffic is what was recorded at both ends.
type Traffic struct {
	Sent        []Event // in the order in which they were published; a terminal reply is due for each
	Replies     []schemas.Reply
	DeadLetters []DeadLetter
	Requests    []endpoint.Entry
	// UsersForgotten reports that the store of users was lost on purpose: what it remembered is not compared.
	UsersForgotten bool
	// Hidden are texts that nothing may show: secrets, and canaries from the bodies of endpoints.
	Hidden []string
	Texts  []Text
}

// Totals are what a check has counted.
type Totals struct {
	Events, Replies, Late, Progress, DeadLetters, Requests int
	// Repeated are requests for an event that the endpoint had received before, retries included. Duplicates are those
	// among them that no retry explains: an attempt of the same number, or one after an attempt that the endpoint had
	// answered well.
	Repeated, Duplicates int
	// Doubled describes each duplicate.
	Doubled []string
	// Remembered are replies that were compared with what the conversation remembered.
	Remembered int
	Outcomes   map[schemas.Outcome]int
	Failures   map[string]int
}

// Check returns a sentence for everything that does not hold.
func (t Traffic) Check() (Totals, []string) {
	c := newChecker(t)
	c.replies()
	c.ends()
	c.requests()
	c.overlaps()
	c.memories()
	c.leaks()
	slices.Sort(c.problems)
	return c.totals, c.problems
}

// Concerns returns the conversations whose events problems name.
func (t Traffic) Concerns(problems []string) []schemas.ConversationKey {
	var all []schemas.ConversationKey
	for _, e := range t.Sent {
		named := func(problem string) bool {
			return strings.Contains(problem, e.Key()) || strings.Contains(problem, " in "+e.conversation()+" ")
		}
		if !slices.Contains(all, e.ConversationKey) && slices.ContainsFunc(problems, named) {
			all = append(all, e.ConversationKey)
		}
	}
	return all
}

func newChecker(t Traffic) *checker {
	c := &checker{
		traffic: t, totals: Totals{Outcomes: map[schemas.Outcome]int{}, Failures: map[string]int{}},
		sent: map[string]Event{}, place: map[string]int{}, replied: map[string]int{}, late: map[string]int{},
		answers: map[string]schemas.StepReplied{}, byID: map[string][]string{}, redriven: map[string]int{},
	}
	for i, e := range t.Sent {
		c.sent[e.Key()], c.place[e.Key()] = e, i
		c.byID[e.ID] = append(c.byID[e.ID], e.Key())
	}
	c.totals.Events, c.totals.Requests = len(t.Sent), len(t.Requests)
	return c
}

type checker struct {
	traffic       Traffic
	totals        Totals
	sent          map[string]Event // by key, as all maps of events
	place         map[string]int   // of an event in the order of sending
	replied, late map[string]int
	answers       map[string]schemas.StepReplied // the terminal reply
	redriven      map[string]int                 // by conversation: place of the latest redriven event whose outcome came
	byID          map[string][]string            // keys of the events of one id
	problems      []string
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// String is one line of totals.
func (t Totals) String() string {
	var parts []string
	for _, o := range schemas.Outcomes() {
		if n := t.Outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", o, n))
		}
	}
	return fmt.Sprintf("%d events, %d replies (%s), %d late, %d progress, %d dead letters, %d requests, %d of them repeated, "+
		"%d duplicates, %d replies compared with the conversation's memory",
		t.Events, t.Replies, strings.Join(parts, ", "), t.Late, t.Progress, t.DeadLetters, t.Requests, t.Repeated, t.Duplicates,
		t.Remembered)
}
