package jq

import (
	"strings"
	"testing"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/require"
)

// TestNamesOf_Linear: a program is checked at each load, in a process whose time is not limited.
func TestNamesOf_Linear(t *testing.T) {
	t.Parallel()
	visited := func(program string) int {
		query, err := gojq.Parse(program)
		require.NoError(t, err)
		n := namesOf(query)
		require.True(t, n.foreign("now"))
		require.False(t, n.foreign("f"))
		require.False(t, n.foreign("g"))
		return n.visited
	}
	const head = "def f: 1; "
	short, long := visited(head+strings.Repeat("now,", 100)+"f"), visited(head+strings.Repeat("now,", 4000)+"f")
	require.LessOrEqual(t, long, 41*short)
}
