package bot_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

func TestTexts_For(t *testing.T) {
	t.Parallel()
	texts := bot.Texts{"default": "d", "hi": "h", "pt_BR": "b", "PT": "p", "zh-Hant": "z"}
	for language, want := range map[string]string{
		"hi": "h", "HI": "h", "hi-IN": "h", "hi_IN": "h", "Hi_Deva_IN": "h", "hit": "d",
		"pt-br": "b", "PT-BR": "b", "pt_BR": "b", "pt": "p", "pt-PT": "p",
		"zh-hant-TW": "z", "zh_HANT": "z", "zh": "d", "": "d", "-": "d", "_": "d", "default": "d",
		"pt-BR" + strings.Repeat("-x", 1000): "b", strings.Repeat("x-", 1000) + "hi": "d",
	} {
		require.Equal(t, want, texts.For(language), "%q", language)
	}
	require.Empty(t, bot.Texts(nil).For("hi"))
}
