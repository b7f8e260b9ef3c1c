package activities

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// latestMax bounds the keys that a latest remembers.
const latestMax = 64 << 10

// latest holds a value for each of the latestMax keys that were used last. The zero value is ready; it is safe for
// concurrent use.
type latest[K comparable, V any] struct {
	mu     sync.Mutex
	values *simplelru.LRU[K, V]
}

// get returns the value of a key, and whether it has one.
func (l *latest[K, V]) get(key K) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lru().Get(key)
}

// set sets the value of a key, and returns the one before, if there was one.
func (l *latest[K, V]) set(key K, value V) (before V, known bool) {
	return l.change(key, func(V) V { return value })
}

// change replaces the value of a key by what next makes of it; of a new key it is the zero value.
func (l *latest[K, V]) change(key K, next func(V) V) (before V, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known = l.lru().Get(key)
	l.lru().Add(key, next(before))
	return before, known
}

// remove removes a key, and reports whether it was there.
func (l *latest[K, V]) remove(key K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lru().Remove(key)
}

// lru returns the values, for the holder of the mutex.
func (l *latest[K, V]) lru() *simplelru.LRU[K, V] {
	if l.values == nil {
		l.values, _ = simplelru.NewLRU[K, V](latestMax, nil) // fails for a size below 1 only
	}
	return l.values
}
