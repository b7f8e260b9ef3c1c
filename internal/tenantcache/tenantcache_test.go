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
