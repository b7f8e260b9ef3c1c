package bot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

func TestRetention_Bounds(t *testing.T) {
	t.Parallel()
	b := loadOne(t, "retention: {replies: 2h, dead_letters: 336h, files: 24h}")
	require.Equal(t, bot.Retention{Replies: 2 * time.Hour, DeadLetters: 14 * 24 * time.Hour, Files: 24 * time.Hour}, b.Retention())
	require.Zero(t, loadOne(t, "idle_timeout: 3h").Retention())
	for text, want := range map[string]string{
		"replies: 1h59m":      "$.retention.replies: 1h59m0s is out of bounds: want 2h to 72h",
		"replies: 73h":        "$.retention.replies",
		"dead_letters: 337h":  "$.retention.dead_letters",
		"dead_letters: 1s":    "$.retention.dead_letters",
		"files: 169h":         "$.retention.files",
		"files: -3h":          "$.retention.files",
		"events: 3h":          "events",
		"replies: for a week": "retention",
	} {
		_, err := load(t, map[string]string{"a.yaml": "bot: a\nretention: {" + text + "}"})
		require.ErrorContains(t, err, want, text)
	}
}
