package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func TestKeys_ProcessesThatStartTogetherAgreeOnAKey(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	ctx := testContext(t)
	var group sync.WaitGroup
	got, failed := make([]string, 10), make([]error, 10)
	for i := range got {
		group.Go(func() {
			key, err := NewKeys(streams).Ensure(ctx, "callback", func() ([]byte, error) { return fmt.Append(nil, "key ", i), nil })
			got[i], failed[i] = string(key), err
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(failed...))
	for _, key := range got {
		require.Regexp(t, "^key [0-9]$", key)
		require.Equal(t, got[0], key)
	}
	away := errors.New("no randomness")
	_, err := NewKeys(streams).Ensure(ctx, "other", func() ([]byte, error) { return nil, away })
	require.ErrorIs(t, err, away)
}
