package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
)

// recentMax is how many steps the table of the current details shows.
const recentMax = 10

func (c *conversation) record(r step.Recent) {
	c.state.Recent = append(c.state.Recent, r)
	if extra := len(c.state.Recent) - recentMax; extra > 0 {
		c.state.Recent = slices.Delete(c.state.Recent, 0, extra)
	}
}

// describe shows the conversation in the Temporal UI. Current details live in the worker's memory and are asked for by a
// query, so they cost no history.
func (c *conversation) describe(ctx workflow.Context) {
	text := details(c.state)
	if call := c.calling; call != nil && call.waiting {
		text = fmt.Sprintf("Step **%s** waits for the endpoint's call back until %s.\n\n%s",
			call.in.Plan.Step, call.in.Deadline.UTC().Format(time.RFC3339), text)
	}
	workflow.SetCurrentDetails(ctx, text)
}

// details is Markdown: what the conversation waits for, and a table of its latest steps, newest first.
func details(s step.State) string {
	var b strings.Builder
	switch {
	case s.Waiting != nil:
		fmt.Fprintf(&b, "Step **%s** waits for: %s\n\n", s.Waiting.Event.Data.Step,
			strings.Join(missing(s.Waiting.Plan.Requires, s.Entities), ", "))
	case s.Open:
		b.WriteString("The conversation is open.\n\n")
	default:
		b.WriteString("No conversation is open.\n\n")
	}
	if len(s.Recent) == 0 {
		return b.String()
	}
	b.WriteString("| started | step | outcome | error | attempts | ms |\n|---|---|---|---|---|---|\n")
	for _, r := range slices.Backward(s.Recent) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d |\n",
			r.At.UTC().Format("2006-01-02 15:04:05.000"), r.Step, r.Outcome, r.Error, r.Attempts, r.Millis)
	}
	return b.String()
}
