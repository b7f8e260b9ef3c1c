package workflows_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/workflows"
)

// recorded is how many histories each version has. A history that is missing fails the test: runs like it may be open.
var recorded = map[string]int{"v1": 13, "v2": 23, "v3": 26, "v4": 26, "v5": 26, "v6": 26, "v7": 26, "v8": 26, "v9": 30, "v10": 30}

// TestReplay replays the recorded histories against the workflows as they are now. "make histories" records new ones.
func TestReplay(t *testing.T) {
	t.Parallel()
	for version, count := range recorded {
		files, err := filepath.Glob(filepath.Join("testdata", "histories", version, "*.json.gz"))
		require.NoError(t, err)
		require.Len(t, files, count, version)
		for _, file := range files {
			t.Run(version+"/"+strings.TrimSuffix(filepath.Base(file), ".json.gz"), func(t *testing.T) {
				t.Parallel()
				require.NoError(t, replay(t, file))
			})
		}
	}
}

// TestReplay_CanFail replays a history with other commands than the workflows give, which proves that TestReplay can fail.
func TestReplay_CanFail(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/histories/bad-*.json.gz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.ErrorContains(t, replay(t, file), "nondeterminis", file)
	}
}

func replay(t *testing.T, file string) error {
	t.Helper()
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
	require.NoError(t, err)
	workflows.Register(replayer)
	return replayer.ReplayWorkflowHistory(nil, readHistory(t, file))
}

func readHistory(t *testing.T, file string) *historypb.History {
	t.Helper()
	compressed, err := os.Open(file)
	require.NoError(t, err)
	defer compressed.Close()
	raw, err := gzip.NewReader(compressed)
	require.NoError(t, err)
	text, err := io.ReadAll(raw)
	require.NoError(t, err)
	history, err := client.HistoryFromJSON(strings.NewReader(string(text)), client.HistoryJSONOptions{})
	require.NoError(t, err)
	return history
}
