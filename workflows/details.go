package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
)

// recentMax is how many steps the table of the current details shows, and how many failed ones a run's result has.
const recentMax = 10

func keepLatest(steps []step.Recent) []step.Recent {
	return slices.Delete(steps, 0, max(len(steps)-recentMax, 0))
}

// cutTexts shortens the texts that a run of an earlier release has kept whole.
func cutTexts(steps []step.Recent) {
	for n := range steps {
		steps[n].UserText = cut(steps[n].UserText, userTextMax)
	}
}

// setCurrentDetails shows the conversation in the Temporal UI. Current details live in the worker's memory and are asked for
// by a query, so they cost no history.
func (c *conversation) setCurrentDetails(ctx workflow.Context) {
	text := details(c.state, c.closed)
	if call := c.calling; call != nil && call.waiting {
		text = fmt.Sprintf("Step **%s** waits for the endpoint's callback until %s.\n\n%s",
			call.in.Plan.Step, call.in.Deadline.UTC().Format(time.RFC3339), text)
	}
	workflow.SetCurrentDetails(ctx, text)
}

// details is Markdown: what the conversation waits for, and a table of its latest steps, newest first.
func details(s step.State, closed string) string {
	var b strings.Builder
	switch {
	case s.Waiting != nil:
		fmt.Fprintf(&b, "Step **%s** waits for: %s\n\n", s.Waiting.Event.Data.Step,
			strings.Join(missing(s, s.Waiting.Plan.Requires), ", "))
	case closed != "":
		fmt.Fprintf(&b, "The conversation is closed: %s.\n\n", closed)
	case s.Open:
		b.WriteString("The conversation is open.\n\n")
	default:
		b.WriteString("No conversation is open.\n\n")
	}
	if len(s.Recent) == 0 {
		return b.String()
	}
	b.WriteString("| step | outcome | error | the user read | attempts | ms | started |\n|---|---|---|---|---|---|---|\n")
	for _, r := range slices.Backward(s.Recent) { // the UI shows the first columns of a narrow window
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %s |\n",
			r.Step, r.Outcome, r.Error, cell(r.UserText), r.Attempts, r.Millis, r.At.UTC().Format("2006-01-02 15:04:05.000"))
	}
	return b.String()
}

// cells replaces what would end a cell of a Markdown table.
var cells = strings.NewReplacer("|", `\|`, "\r", " ", "\n", " ")

// cell fits a text into a cell of a Markdown table.
func cell(text string) string { return cells.Replace(text) }
