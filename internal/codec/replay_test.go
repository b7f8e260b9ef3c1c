package codec_test

import (
	"compress/gzip"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/codec"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/workflows"
)

// TestReplay_HistoriesInClear replays histories that were written without a codec, as a worker with payload keys does.
func TestReplay_HistoriesInClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "k1"), []byte(key), 0o600))
	encrypting, err := codec.New(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	encrypting.Blocking = true
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		DisableDeadlockDetection: true,
		DataConverter:            converter.NewCodecDataConverter(step.DataConverter(), encrypting),
	})
	require.NoError(t, err)
	workflows.Register(replayer)
	files, err := filepath.Glob("../../workflows/testdata/histories/v*/*.json.gz")
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	for _, file := range files {
		compressed, err := os.Open(file)
		require.NoError(t, err)
		text, err := gzip.NewReader(compressed)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(text, client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.NoError(t, compressed.Close())
		require.NoError(t, replayer.ReplayWorkflowHistory(nil, history), file)
	}
}
