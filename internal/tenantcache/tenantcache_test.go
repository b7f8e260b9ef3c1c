package tenantcache_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/tenantcache"
)

func TestCache_FloodPushesOutItsOwn(t *testing.T) {
	t.Parallel()
	c := tenantcache.New[int, string](10)
	for i := range 3 {
		c.Put("quiet", i, "kept")
	}
	for i := range 1000 {
		c.Put("loud", i, "new")
	}
	for i := range 3 {
		value, ok := c.Get("quiet", i)
		require.True(t, ok, i)
		require.Equal(t, "kept", value)
	}
	for i := 993; i < 1000; i++ {
		_, ok := c.Get("loud", i)
		require.True(t, ok, i)
	}
	_, ok := c.Get("loud", 992)
	require.False(t, ok, "the cache holds ten entries")
}

func TestCache_LeastRecentlyUsedGoesFirst(t *testing.T) {
	t.Parallel()
	c := tenantcache.New[string, int](2)
	c.Put("a", "x", 1)
	c.Put("a", "y", 2)
	_, _ = c.Get("a", "x")
	c.Put("a", "z", 3)
	_, ok := c.Get("a", "y")
	require.False(t, ok)
	_, ok = c.Get("a", "x")
	require.True(t, ok)
	c.Put("a", "x", 4)
	value, _ := c.Get("a", "x")
	require.Equal(t, 4, value)
}

func TestCache_EqualKeysOfTenants(t *testing.T) {
	t.Parallel()
	c := tenantcache.New[string, int](4)
	c.Put("a", "key", 1)
	c.Put("b", "key", 2)
	c.Remove("a", "key")
	c.Remove("a", "key")
	c.Remove("unknown", "key")
	_, ok := c.Get("a", "key")
	require.False(t, ok)
	value, ok := c.Get("b", "key")
	require.True(t, ok)
	require.Equal(t, 2, value)
	for i := range 4 {
		c.Put("c", string(rune('a'+i)), i)
	}
	_, ok = c.Get("b", "key")
	require.True(t, ok, "a removed entry makes room")
}

// TestCache_Weights: the tenant whose entries weigh the most loses its oldest one, and an entry above the maximum is not kept.
func TestCache_Weights(t *testing.T) {
	t.Parallel()
	var removed []int
	c := tenantcache.NewWith[string](10, tenantcache.Options[int]{
		Weight: func(v int) int { return v }, Removed: func(v int) { removed = append(removed, v) },
	})
	for _, key := range []string{"a", "b", "c", "d"} {
		c.Put("many", key, 1)
	}
	c.Put("heavy", "a", 5)
	c.Put("heavy", "b", 1)
	require.Empty(t, removed)
	c.Put("many", "e", 1)
	require.Equal(t, []int{5}, removed)
	c.Put("many", "a", 2)
	require.Equal(t, []int{5, 1}, removed, "replaced")
	c.Put("other", "a", 11)
	require.NotContains(t, removed[:len(removed)-1], 11)
	require.Equal(t, 11, removed[len(removed)-1])
	require.Equal(t, 6, c.Len())
	c.Clear()
	require.Zero(t, c.Len())
	require.Len(t, removed, 9)
}

func TestCache_RemoveOldest(t *testing.T) {
	t.Parallel()
	c := tenantcache.New[int, int](10)
	for i := range 5 {
		c.Put("a", i, i)
		c.Put("b", i, i)
	}
	_, _ = c.Peek("a", 0)
	c.RemoveOldest(func(v int) bool { return v < 3 })
	require.Equal(t, 4, c.Len())
	for _, tenant := range []string{"a", "b"} {
		_, ok := c.Peek(tenant, 2)
		require.False(t, ok)
		_, ok = c.Peek(tenant, 3)
		require.True(t, ok)
	}
	c.RemoveOldest(func(int) bool { return true })
	require.Zero(t, c.Len())
}
