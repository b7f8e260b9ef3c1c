package cli

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/schemas"
)

// canceller answers the request to cancel the run of an id.
type canceller map[string]error

func (c canceller) CancelWorkflow(_ context.Context, _, run string) error { return c[run] }

// TestCancel_EndedRun: a run that ended before it was cancelled is named as the console names it, and is not a failure.
func TestCancel_EndedRun(t *testing.T) {
	t.Parallel()
	temporal := canceller{"over": serviceerror.NewNotFound("already completed"), "bad": errors.New("away")}
	for name, c := range map[string]struct {
		runs   []string
		status int
		counts map[string]int
		text   string
		json   string // behind the run
	}{
		"cancelled": {[]string{"open"}, 0, map[string]int{"cancelled": 1, "not_cancelled": 0}, ": cancelled\n", `"cancelled":true,"result":"cancelled"}]`},
		"ended": {
			[]string{"over"}, 3, map[string]int{"cancelled": 0, "not_cancelled": 0, "ended": 1}, ": ended\n",
			`"cancelled":false,"result":"ended"}]`,
		},
		"failed": {
			[]string{"bad"}, 1, map[string]int{"cancelled": 0, "not_cancelled": 1}, ": not cancelled: away\n",
			`"cancelled":false,"result":"not_cancelled","error":"away"}]`,
		},
		"one ended": {
			[]string{"open", "over"}, 0, map[string]int{"cancelled": 1, "not_cancelled": 0, "ended": 1}, ": ended\n",
			`"cancelled":false,"result":"ended"}]`,
		},
		"one failed": {
			[]string{"over", "bad"}, 6, map[string]int{"cancelled": 0, "not_cancelled": 1, "ended": 1}, ": not cancelled: away\n",
			`"cancelled":false,"result":"not_cancelled","error":"away"}]`,
		},
	} {
		var runs []inspect.Run
		for _, id := range c.runs {
			runs = append(runs, inspect.Run{Workflow: schemas.WorkflowRef{ID: "c", RunID: id}})
		}
		for output, want := range map[format]string{formatText: c.text, formatJSON: c.json + "\n"} {
			var tool conversationTool
			tool.timeout, tool.output = time.Minute, output
			var out bytes.Buffer
			cmd, did := &cobra.Command{}, audit.Outcome{}
			cmd.SetOut(&out)
			status := 0
			if err := tool.cancelRuns(t.Context(), cmd, temporal, runs, &did); err != nil {
				status = classify(err, true).kind.status()
			}
			require.Equal(t, c.status, status, name)
			require.Equal(t, c.counts, did.Counts, name)
			require.True(t, bytes.HasSuffix(out.Bytes(), []byte(want)), "%s: %s", name, &out)
		}
	}
}
