package gateway

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestEngines_ExamplesRun runs the engines of examples/engines against the gateway: each publishes an event and prints its
// reply. A second run begins behind the cursor of the first.
func TestEngines_ExamplesRun(t *testing.T) {
	t.Parallel()
	g := startWithNATS(t)
	g.answering(t, schemas.TypeStepReplied)
	const examples = "../../examples/engines/"
	goEngine := filepath.Join(t.TempDir(), "engine")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", goEngine, examples+"go").CombinedOutput()
	require.NoError(t, err, string(built))
	for name, command := range map[string][]string{
		"Go": {goEngine}, "Node.js": {"node", examples + "node/engine.mjs"}, "Python": {"python3", examples + "python/engine.py"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cursor := filepath.Join(t.TempDir(), "cursor")
			var positions []string
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), soon*3)
				engine := exec.CommandContext(ctx, command[0], append(command[1:], "shop", "c-42", "ORDER_STATUS", cursor)...)
				engine.Env = append(os.Environ(), "HOOKTURN_URL=http://"+g.Addr(), "HOOKTURN_TOKEN="+tokenOfDefault,
					"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
				printed, err := engine.CombinedOutput()
				cancel()
				require.NoError(t, err, string(printed))
				require.Contains(t, string(printed), "success done")
				position, err := os.ReadFile(cursor)
				require.NoError(t, err)
				positions = append(positions, strings.TrimSpace(string(position)))
			}
			require.NotEqual(t, positions[0], positions[1], "the cursor is behind the last reply")
		})
	}
}
