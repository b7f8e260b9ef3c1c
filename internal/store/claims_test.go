package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func TestClaims_OneCallerPerKey(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{})
	ctx, one, other := testContext(t), NewClaims(s), NewClaims(s)
	mine, err := one.Claim(ctx, "key")
	require.NoError(t, err)
	require.True(t, mine)
	mine, err = other.Claim(ctx, "key")
	require.NoError(t, err)
	require.False(t, mine)
}
