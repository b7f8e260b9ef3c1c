package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestWriteLetters_OneLineEach: the text of another party begins no rows and no columns.
func TestWriteLetters_OneLineEach(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, writeLetters(&out, []bus.DeadLetter{{Sequence: 1, Conversation: "c\nd", Detail: "a\n2\tb\u009b"}}))
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")))
	require.Contains(t, out.String(), "a 2 b ")
}
