// Package tenantcache is a bounded cache that tenants share. When it is full, the tenant with the most in it loses the entry
// that was unused for longest: a tenant that fills the cache pushes out its own entries.
package tenantcache

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Options are what a cache may have beside its bound.
type Options[V any] struct {
	// Weight is what an entry takes of the maximum; nil: each takes 1. It must not change while the entry is in the cache.
	Weight func(V) int
	// Removed is called with each entry that leaves the cache, and must not use it; nil: nothing is called.
	Removed func(V)
}

// Cache is a cache of a maximum number of entries, or of a maximum of their weights. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	maximum int
	options Options[V]

	mu      sync.Mutex
	tenants map[string]*own[K, V]
	used    int
}

// own is what a tenant has in the cache.
type own[K comparable, V any] struct {
	entries *simplelru.LRU[K, V]
	used    int
}

// New returns a new cache of at most maximum entries, which must be positive.
func New[K comparable, V any](maximum int) *Cache[K, V] { return NewWith[K](maximum, Options[V]{}) }

// NewWith returns a new cache whose entries have weights of at most maximum together, which must be positive.
func NewWith[K comparable, V any](maximum int, o Options[V]) *Cache[K, V] {
	return &Cache[K, V]{maximum: maximum, options: o, tenants: map[string]*own[K, V]{}}
}

// Get returns the entry of a tenant's key, which is used then.
func (c *Cache[K, V]) Get(tenant string, key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.tenants[tenant]; of != nil {
		return of.entries.Get(key)
	}
	return value, false
}

// Peek is Get for a look that does not count as a use.
func (c *Cache[K, V]) Peek(tenant string, key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := c.tenants[tenant]; of != nil {
		return of.entries.Peek(key)
	}
	return value, false
}

// Put stores the entry of a tenant's key.
func (c *Cache[K, V]) Put(tenant string, key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.tenants[tenant]
	if of == nil {
		of = &own[K, V]{}
		of.entries, _ = simplelru.NewLRU(c.maximum, func(_ K, old V) { c.left(of, old) }) // fails for a size below 1 only
		c.tenants[tenant] = of
	}
	of.entries.Remove(key)
	weight := c.weight(value)
	of.used += weight
	c.used += weight
	of.entries.Add(key, value)
	for c.used > c.maximum {
		c.evict()
	}
}

// Remove removes the entry of a tenant's key, and reports whether it was there.
func (c *Cache[K, V]) Remove(tenant string, key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.tenants[tenant]
	removed := of != nil && of.entries.Remove(key)
	c.dropEmpty(tenant)
	return removed
}

// RemoveOldest removes entries of all tenants: of each those that were unused for longest first, as long as one is old.
func (c *Cache[K, V]) RemoveOldest(old func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tenant, of := range c.tenants {
		for {
			_, oldest, ok := of.entries.GetOldest()
			if !ok || !old(oldest) {
				break
			}
			of.entries.RemoveOldest()
		}
		c.dropEmpty(tenant)
	}
}

// Clear removes all entries.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tenant, of := range c.tenants {
		of.entries.Purge()
		c.dropEmpty(tenant)
	}
}

// Len returns the number of entries.
func (c *Cache[K, V]) Len() (entries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.tenants {
		entries += of.entries.Len()
	}
	return entries
}

func (c *Cache[K, V]) weight(value V) int {
	if c.options.Weight == nil {
		return 1
	}
	return c.options.Weight(value)
}

// left takes an entry of a tenant out of the count.
func (c *Cache[K, V]) left(of *own[K, V], old V) {
	weight := c.weight(old)
	of.used -= weight
	c.used -= weight
	if c.options.Removed != nil {
		c.options.Removed(old)
	}
}

func (c *Cache[K, V]) evict() {
	largest := ""
	for tenant, of := range c.tenants {
		if most := c.tenants[largest]; most == nil || of.used > most.used {
			largest = tenant
		}
	}
	c.tenants[largest].entries.RemoveOldest()
	c.dropEmpty(largest)
}

func (c *Cache[K, V]) dropEmpty(tenant string) {
	if of := c.tenants[tenant]; of != nil && of.entries.Len() == 0 {
		delete(c.tenants, tenant)
	}
}
