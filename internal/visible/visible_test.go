package visible_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/visible"
)

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "",
		"Zo\u00eb\t\u20ac \U0001f600\n": "Zo\u00eb\t\u20ac \U0001f600\n",
		"a\u009b31mb":                   `a\u009b31mb`,
		"a\x1b[31m\x00\x7f\r":           `a\u001b[31m\u0000\u007f\u000d`,
		"\u202eevil\u2066\u200b":        `\u202eevil\u2066\u200b`,
		"\u2028\u2029\ufeff":            `\u2028\u2029\ufeff`,
		"\U000e0041":                    `\udb40\udc41`,
		"\x9b\xffz":                     `\ufffd\ufffdz`,
		"\ufffd":                        "\ufffd",
	} {
		require.Equal(t, want, string(visible.Text([]byte(text))), "%q", text)
	}
}

// TestText_SameJSON: no character changes what a document means.
func TestText_SameJSON(t *testing.T) {
	t.Parallel()
	for r := rune(0x20); r <= unicode.MaxRune; r++ {
		rare := unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
		if r == '"' || r == '\\' || r >= 0xd800 && r < 0xe000 || !rare && r%101 != 0 {
			continue
		}
		document := []byte(`{"a":"` + string(r) + `"}`)
		var was, is map[string]string
		require.NoError(t, json.Unmarshal(document, &was))
		shown := visible.Text(document)
		require.NoError(t, json.Unmarshal(shown, &is), "%U", r)
		require.Equal(t, was, is, "%U", r)
		for _, c := range string(shown) {
			require.False(t, unicode.IsControl(c) || unicode.Is(unicode.Cf, c), "%U", r)
		}
	}
}

// TestWriter_SplitCharacters writes a text byte by byte.
func TestWriter_SplitCharacters(t *testing.T) {
	t.Parallel()
	const text = "a\u009bb\U000e0041c\u20ac\U0001f600\x9b\xe2\x82d\xf0\x9f"
	var out bytes.Buffer
	w := visible.NewWriter(&out)
	for _, b := range []byte(text) {
		n, err := w.Write([]byte{b})
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.NoError(t, w.Flush())
	require.Equal(t, `a\u009bb\udb40\udc41c`+"\u20ac\U0001f600"+`\ufffd\ufffd\ufffdd\ufffd\ufffd`, out.String())
	require.NoError(t, w.Flush())
}
