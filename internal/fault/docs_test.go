package fault_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestEveryWordIsExplained: who meets a word at night finds it in the documentation, in the contract's order.
func TestEveryWordIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/failures.md")
	require.NoError(t, err)
	var words []fault.Kind
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			word, _, _ := strings.Cut(rest, "`")
			words = append(words, fault.Kind(word))
		}
	}
	require.Equal(t, fault.Kinds(), words)
}
