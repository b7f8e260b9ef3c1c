package telemetry

import "sync"

// watched are functions of which each returns what one part of this process has; a scrape calls them.
type watched[T any] struct {
	mu  sync.Mutex
	now map[int]func() T
	ids int
}

func (w *watched[T]) add(now func() T) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == nil {
		w.now = map[int]func() T{}
	}
	w.ids++
	id := w.ids
	w.now[id] = now
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.now, id)
	}
}

// read calls each function.
func (w *watched[T]) read() (all []T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, now := range w.now {
		all = append(all, now())
	}
	return all
}
