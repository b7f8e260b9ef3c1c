package fault_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestKinds_Documented compares the table of docs/failures.md with the error codes, in the contract's order.
func TestKinds_Documented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/failures.md")
	require.NoError(t, err)
	var codes []fault.Kind
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			code, _, _ := strings.Cut(rest, "`")
			codes = append(codes, fault.Kind(code))
		}
	}
	require.Equal(t, fault.Kinds(), codes)
}
