package invariants

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// Timeline returns what happened in a conversation, a line for each request and each reply, by time: what a person reads to
// find out how a problem came about.
func (t Traffic) Timeline(of schemas.ConversationKey) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	c := newChecker(t)
	for _, r := range t.Requests {
		e, known := c.event(r)
		if !known || e.ConversationKey != of {
			continue
		}
		var body struct {
			Details json.RawMessage `json:"conversation_details"`
		}
		_ = json.Unmarshal(r.Body, &body) // of another form: no details
		lines = append(lines, line{r.In, fmt.Sprintf("request %s attempt %d to %s, details %.80s, answered %s with %d", e.ID,
			r.Attempt, r.Path, body.Details, clock(r.Out), r.Status)})
	}
	for _, r := range t.Replies {
		if strings.TrimPrefix(r.Source, "/hookturn/") != of.Tenant+"/"+of.Bot || r.Subject != of.Conversation {
			continue
		}
		var data schemas.StepReplied
		_ = json.Unmarshal(r.Data, &data) // of another form: no data
		lines = append(lines, line{r.Time, fmt.Sprintf("reply %s %s %s, conversation %s, details %.80s, run %s", r.Type,
			data.EventID, data.Outcome, data.Conversation, data.ConversationDetails, data.Workflow.RunID)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	var all strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&all, "%s %s\n", clock(l.at), l.text)
	}
	return all.String()
}
