// Package loglimit bounds the log lines about what happens again and again.
package loglimit

import (
	"sync"
	"time"
)

// Every is the shortest time between two lines of a key.
const Every = time.Minute

// keysMax bounds the keys that are remembered; when there are more, all are forgotten.
const keysMax = 10_000

// Limiter decides what is logged: for each key one line in each Every. The zero value is ready, and is safe for concurrent
// use. It must not be copied.
type Limiter[K comparable] struct {
	mu   sync.Mutex
	keys map[K]entry
}

type entry struct {
	logged time.Time
	since  int
}

// Due counts something that happened and reports whether it is to be logged, with the number of times that it happened
// since the line before, this one included.
func (l *Limiter[K]) Due(key K, now time.Time) (times int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.keys[key]
	e.since++
	times = e.since
	due = !known || now.Sub(e.logged) >= Every
	if due {
		e = entry{logged: now}
	}
	if l.keys == nil || !known && len(l.keys) >= keysMax {
		l.keys = map[K]entry{}
	}
	l.keys[key] = e
	return times, due
}
