package step

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestSearchable(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"c-42", "o'neil", "+49 170 1234567", "ünï ☃", "%_", strings.Repeat("é", 255)} {
		require.Equal(t, id, Searchable(id))
	}
	for _, id := range []string{`a"b`, `a\b`, `'a`, `a'`, "a\nb", strings.Repeat("é", 256)} {
		require.Equal(t, schemas.ConversationToken(id), Searchable(id))
	}
}
