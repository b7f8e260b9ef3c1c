package lru

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMap_Values(t *testing.T) {
	t.Parallel()
	var m Map[string, int]
	_, known := m.Get("a")
	require.False(t, known)
	_, known = m.Set("a", 1)
	require.False(t, known)
	before, known := m.Set("a", 2)
	require.True(t, known)
	require.Equal(t, 1, before)
	before, _ = m.Update("a", func(v int) int { return v * 10 })
	require.Equal(t, 2, before)
	value, _ := m.Get("a")
	require.Equal(t, 20, value)
	require.True(t, m.Remove("a"))
	require.False(t, m.Remove("a"))
}

// TestMap_Bounded: a new key removes the one that was unused for longest.
func TestMap_Bounded(t *testing.T) {
	t.Parallel()
	var m Map[int, struct{}]
	for n := range maximum {
		m.Set(n, struct{}{})
	}
	m.Get(0)
	m.Set(maximum, struct{}{})
	_, known := m.Get(0)
	require.True(t, known)
	_, known = m.Get(1)
	require.False(t, known)
}
