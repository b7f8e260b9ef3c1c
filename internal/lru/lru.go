// Package lru has a map that keeps the values of the keys that were used last.
package lru

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maximum bounds the keys of a map.
const maximum = 64 << 10

// Map holds a value for each of the 65,536 keys that were used last. The zero value is ready; it is safe for concurrent use.
type Map[K comparable, V any] struct {
	mu     sync.Mutex
	values *simplelru.LRU[K, V]
}

// Get returns the value of a key, and whether it has one.
func (m *Map[K, V]) Get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lru().Get(key)
}

// Set sets the value of a key, and returns the one before, if there was one.
func (m *Map[K, V]) Set(key K, value V) (before V, known bool) {
	return m.Update(key, func(V) V { return value })
}

// Update replaces the value of a key by the result of next, which gets the one before; of a new key that is the zero value.
func (m *Map[K, V]) Update(key K, next func(V) V) (before V, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, known = m.lru().Get(key)
	m.lru().Add(key, next(before))
	return before, known
}

// Remove removes a key, and reports whether it was there.
func (m *Map[K, V]) Remove(key K) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lru().Remove(key)
}

// lru returns the values, for the holder of the mutex.
func (m *Map[K, V]) lru() *simplelru.LRU[K, V] {
	if m.values == nil {
		m.values, _ = simplelru.NewLRU[K, V](maximum, nil) // fails for a size below 1 only
	}
	return m.values
}
