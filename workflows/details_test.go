package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestDetails_NarrowWindow: half of a window of the Temporal UI shows the first columns, so what the user read is one of them.
func TestDetails_NarrowWindow(t *testing.T) {
	t.Parallel()
	text := details(step.State{Open: true, Recent: []step.Recent{
		{At: time.Date(2026, 11, 28, 21, 0, 0, 0, time.UTC), Step: "A", Outcome: schemas.OutcomeSuccess, Attempts: 1, Millis: 7},
		{
			At: time.Date(2026, 11, 28, 21, 1, 0, 0, time.UTC), Step: "B", Outcome: schemas.OutcomeBotBreak, Error: "status", Attempts: 2,
			Millis: 271, UserText: "Sorry,\n| try again",
		},
	}}, "")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	require.Equal(t, []string{
		"The conversation is open.", "",
		"| step | outcome | error | the user read | attempts | ms | started |", "|---|---|---|---|---|---|---|",
		`| B | bot_break | status | Sorry, \| try again | 2 | 271 | 2026-11-28 21:01:00.000 |`,
		"| A | success |  |  | 1 | 7 | 2026-11-28 21:00:00.000 |",
	}, lines)
}
