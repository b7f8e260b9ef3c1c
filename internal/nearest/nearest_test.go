package nearest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/nearest"
)

func TestName_Nearest(t *testing.T) {
	t.Parallel()
	names := []string{"url", "path", "timeout", "attempt_timeout", "bot_break", "WhatsApp", "Telegram Messenger"}
	for text, want := range map[string]string{
		"tiemout":       "timeout",
		"TIMEOUT":       "timeout",
		"timeuot":       "timeout",
		"atempt-timout": "attempt_timeout",
		"ulr":           "url",
		"pth":           "path",
		"whatsapp":      "WhatsApp",
		"Telegram":      "Telegram Messenger",
		"botbreak":      "bot_break",

		"":                       "",
		"xy":                     "",
		"headers":                "",
		"web":                    "",
		"u":                      "",
		strings.Repeat("u", 100): "",
	} {
		require.Equal(t, want, nearest.Name(text, names), text)
	}
	require.Equal(t, "b1", nearest.Name("b3", []string{"a", "b1", "b2"}), "the first of those that are as close")
	require.Equal(t, "b2", nearest.Name("b2", []string{"b1", "b2"}))
	require.Empty(t, nearest.Name("x", nil))
}

func TestHint_Question(t *testing.T) {
	t.Parallel()
	require.Equal(t, ": did you mean timeout?", nearest.Hint("tiemout", []string{"path", "timeout"}))
	require.Empty(t, nearest.Hint("other", []string{"path", "timeout"}))
}
