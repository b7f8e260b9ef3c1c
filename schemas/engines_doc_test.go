package schemas_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestEnginesDoc_Complete: the page for authors of engines has each event type, each outcome and each reason of a close as a
// row of a table, and its messages are valid.
func TestEnginesDoc_Complete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/engines.md")
	require.NoError(t, err)
	rows := schemas.EventTypes()
	for _, outcome := range schemas.Outcomes() {
		rows = append(rows, string(outcome))
	}
	rows = append(rows, schemas.ClosedCompleted, schemas.ClosedIdle, schemas.ClosedHandover)
	for _, row := range rows {
		require.Contains(t, string(text), "\n| `"+row+"` | ")
	}
	count := map[string]int{}
	for _, block := range fenced(string(text), "json") {
		name := "reply"
		if kind, _ := jsonMap(t, []byte(block))["type"].(string); slices.Contains(schemas.EventTypes(), kind) {
			name = "event"
		}
		require.NoError(t, validateJSON(schema(t, name), []byte(block)), block)
		count[name]++
	}
	require.Equal(t, map[string]int{"event": 2, "reply": 2}, count)
	require.Equal(t, 2, strings.Count(string(text), "\n| `handover` | "), "an outcome and a reason")
}
