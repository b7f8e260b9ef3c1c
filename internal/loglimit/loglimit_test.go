package loglimit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiter_OneLineOfAKeyInEvery(t *testing.T) {
	t.Parallel()
	var l Limiter[string]
	now := time.Now()
	for i, step := range []struct {
		key   string
		after time.Duration
		times int
		due   bool
	}{
		{"a", 0, 1, true},
		{"a", 1, 1, false},
		{"b", 1, 1, true},
		{"a", Every - 1, 2, false},
		{"a", Every, 3, true},
		{"a", Every + 1, 1, false},
		{"b", Every + 1, 1, true},
	} {
		times, due := l.Due(step.key, now.Add(step.after))
		require.Equal(t, step.due, due, i)
		require.Equal(t, step.times, times, i)
	}
}

func TestLimiter_Bounded(t *testing.T) {
	t.Parallel()
	var l Limiter[int]
	for key := range 2*keysMax + 10 {
		_, due := l.Due(key, time.Now())
		require.True(t, due)
		require.LessOrEqual(t, len(l.keys), keysMax)
	}
}
