package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
)

func TestClaims_OneCallerPerKey(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{})
	ctx, one, other := testContext(t), NewClaims(s), NewClaims(s)
	mine, err := one.Claim(ctx, "acme", "key")
	require.NoError(t, err)
	require.True(t, mine)
	mine, err = other.Claim(ctx, "acme", "key")
	require.NoError(t, err)
	require.False(t, mine)
}

// claimMany claims n keys of a tenant, and returns how many were given and how many were beyond its share.
func claimMany(t *testing.T, c *Claims, tenant string, n int) (given, beyond int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for part := range 32 {
		all.Go(func() {
			for i := part; i < n; i += 32 {
				mine, err := c.Claim(testContext(t), tenant, fmt.Sprintf("%s-%058d", tenant, i))
				mu.Lock()
				switch {
				case mine:
					given++
				case fault.Of(err) != nil && fault.Of(err).Kind == fault.RateLimited:
					beyond++
				default:
					t.Errorf("a claim was neither given nor beyond the share: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return given, beyond
}

// TestClaims_TenantHasHalfOfTheBucket lets a tenant make more claims than fit into the bucket.
func TestClaims_TenantHasHalfOfTheBucket(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{Sizes: map[string]int64{"claims": bus.SizeMin}})
	const share, fits = bus.SizeMin / 2 / claimBytes, bus.SizeMin / 120
	c, later := NewClaims(s), time.Duration(0)
	today := time.Now().Truncate(24 * time.Hour)
	c.shares.now = func() time.Time { return today.Add(later) }
	given, beyond := claimMany(t, c, "greedy", fits)
	require.Equal(t, share, given)
	require.Equal(t, fits-share, beyond)
	status, err := s.Bucket(bus.BucketClaims).Status(testContext(t))
	require.NoError(t, err)
	require.Less(t, status.Bytes(), uint64(bus.SizeMin/2))
	given, _ = claimMany(t, c, "acme", 100)
	require.Equal(t, 100, given, "another tenant has its own share")

	later += 2 * time.Minute
	given, _ = claimMany(t, c, "greedy", 0)
	require.Zero(t, given)
	mine, err := c.Claim(testContext(t), "greedy", "after the life of the claims")
	require.Error(t, err, "an invalid key")
	require.False(t, mine)
	mine, err = c.Claim(testContext(t), "greedy", "later")
	require.NoError(t, err)
	require.True(t, mine, "the claims of before have expired")
}

// TestClaims_GatewaysDivideTheShare: each of two starters gives half of a tenant's share.
func TestClaims_GatewaysDivideTheShare(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{Sizes: map[string]int64{"claims": bus.SizeMin}})
	for _, name := range []string{"a", "b", "partition.0", "partition.1"} {
		_, err := s.Bucket(bus.BucketStarters).Put(testContext(t), name, []byte("x"))
		require.NoError(t, err)
	}
	c := NewClaims(s)
	require.NoError(t, c.shares.measure(testContext(t)))
	require.Equal(t, bus.SizeMin/2/claimBytes/2, c.shares.share)
}
