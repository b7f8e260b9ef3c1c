package tenantshare_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/tenantshare"
)

func TestShares_OfEachTenant(t *testing.T) {
	t.Parallel()
	var s tenantshare.Shares
	release, ok := s.Take("acme", 2)
	require.True(t, ok)
	_, ok = s.Take("acme", 2)
	require.True(t, ok)
	_, ok = s.Take("acme", 2)
	require.False(t, ok, "both places are taken")
	_, ok = s.Take("zeta", 2)
	require.True(t, ok, "another tenant has places of its own")
	release()
	_, ok = s.Take("acme", 2)
	require.True(t, ok, "a place is free again")
}
