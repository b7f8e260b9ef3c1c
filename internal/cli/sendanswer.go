package cli

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// recognisedFor is how long an event that is published again is recognised as a duplicate.
const recognisedFor = 10 * time.Minute

// awaited finds the replies to an event among those of its conversation, which it reads in their order.
type awaited struct {
	id  string   // of the event
	own []string // ids of the replies that answer it

	others  bool      // it may be answered by the reply to the event whose step waits
	waiting string    // the id of that event; "" = none waits
	before  uint64    // sequence of the last reply before the event was stored
	since   time.Time // replies to a duplicate are stored since then; zero = it is not one
}

func awaitedOf(key schemas.ConversationKey, id, eventType string) awaited {
	a := awaited{id: id, others: schemas.AnswersWaiting(eventType)}
	for _, replyType := range schemas.AnswerTypes(eventType) {
		a.own = append(a.own, schemas.ReplyID(key, id, replyType))
	}
	return a
}

// stored is called when the event is stored, and returns the time from which the replies of the conversation are read: those
// to a duplicate, and the one that a step waits, may be as old as any.
func (a *awaited) stored(now time.Time, duplicate bool) (from time.Time) {
	if duplicate {
		a.since = now.Add(-recognisedFor - clockDrift)
	}
	if duplicate || a.others {
		return now.Add(-repliesKept)
	}
	return now.Add(-clockDrift)
}

// gotReply is what is read of a reply.
type gotReply struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		EventID string          `json:"event_id"`
		Step    string          `json:"step"`
		Outcome schemas.Outcome `json:"outcome"`
		Missing []string        `json:"missing"`
		Error   *schemas.Error  `json:"error"`
	} `json:"data"`
}

// next reads the next reply of the conversation and reports whether it is one to the event.
func (a *awaited) next(stored bus.StoredReply) (r gotReply, ours bool) {
	if json.Unmarshal(stored.Data, &r) != nil {
		return r, false
	}
	ours = slices.Contains(a.own, r.ID) || r.Data.EventID == a.id
	if !a.others {
		return r, ours
	}
	later := stored.Sequence > a.before || !a.since.IsZero() && stored.Time.After(a.since)
	ours = ours || later && a.waiting != "" && r.Data.EventID == a.waiting
	switch {
	case r.Type == schemas.TypeStepWaiting:
		a.waiting = r.Data.EventID
	case r.Type == schemas.TypeStepReplied && r.Data.EventID == a.waiting && !ours:
		a.waiting = ""
	}
	return r, ours
}
