// Package tenantcache is a bounded cache that tenants share. When it is full, the tenant with the most entries loses the one
// that was unused for longest: a tenant that fills the cache pushes out its own entries.
package tenantcache

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache is a cache of a maximum number of entries. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	maximum int

	mu      sync.Mutex
	tenants map[string]*simplelru.LRU[K, V]
	entries int
}

// New returns a new cache of at most maximum entries, which must be positive.
func New[K comparable, V any](maximum int) *Cache[K, V] {
	return &Cache[K, V]{maximum: maximum, tenants: map[string]*simplelru.LRU[K, V]{}}
}

// Get returns the entry of a tenant's key.
func (c *Cache[K, V]) Get(tenant string, key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.tenants[tenant]
	if own == nil {
		return value, false
	}
	return own.Get(key)
}

// Put stores the entry of a tenant's key.
func (c *Cache[K, V]) Put(tenant string, key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.tenants[tenant]
	if own == nil {
		own, _ = simplelru.NewLRU[K, V](c.maximum, nil) // fails for a size below 1 only
		c.tenants[tenant] = own
	}
	before := own.Len()
	own.Add(key, value)
	c.entries += own.Len() - before
	for c.entries > c.maximum {
		c.evict()
	}
}

// Remove removes the entry of a tenant's key.
func (c *Cache[K, V]) Remove(tenant string, key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own := c.tenants[tenant]; own != nil && own.Remove(key) {
		c.entries--
		c.dropEmpty(tenant)
	}
}

func (c *Cache[K, V]) evict() {
	largest := ""
	for tenant, own := range c.tenants {
		if most := c.tenants[largest]; most == nil || own.Len() > most.Len() {
			largest = tenant
		}
	}
	c.tenants[largest].RemoveOldest()
	c.entries--
	c.dropEmpty(largest)
}

func (c *Cache[K, V]) dropEmpty(tenant string) {
	if c.tenants[tenant].Len() == 0 {
		delete(c.tenants, tenant)
	}
}
