package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

// TestMayHaveSessions: only a known bot without events endpoints saves the read of its sessions. A worker whose bot file is not
// there yet, or was removed with open sessions, ends those that another worker has begun.
func TestMayHaveSessions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"chat": "bot: chat\nadapters: {robot: {account: a, is_bot: true, message_endpoint: {url: \"https://r.example/\"}, " +
			"events_endpoint: {url: \"https://r.example/events\"}}}\n",
		"shop": "bot: shop\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600))
	}
	bots, err := bot.NewStore(dir, bot.Options{Dialects: dialects.Specs()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, bots.LastError())
	for name, want := range map[string]bool{"chat": true, "shop": false, "gone": true} {
		require.Equal(t, want, mayHaveSessions(bots.Current(), schemas.BotID{Tenant: "default", Bot: name}), name)
	}
}
