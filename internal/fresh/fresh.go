// Package fresh keeps a value that is made of files and makes it again when they change. A bad new file never replaces a
// good one.
package fresh

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Interval is how long a value made of files is believed before the files are looked at again.
const Interval = time.Second

// Value is a value made of files. It is made again when one of them has changed; a bad new one never replaces a good one.
type Value[T any] struct {
	read  func() (T, error)
	paths []string
	log   *slog.Logger

	mu    sync.Mutex
	value T
	seen  string    // the files as they were when they were read last
	until time.Time // when they are looked at again
}

// Read makes the value.
func Read[T any](log *slog.Logger, read func() (T, error), paths ...string) (*Value[T], error) {
	f := &Value[T]{read: read, paths: paths, log: log, seen: look(paths), until: time.Now().Add(Interval)}
	var err error
	f.value, err = read()
	return f, err
}

// Get returns the value of the files as they are now, or of their last valid state.
func (f *Value[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.until) {
		return f.value
	}
	f.until = now.Add(Interval)
	seen := look(f.paths)
	if seen == f.seen {
		return f.value
	}
	f.seen = seen
	value, err := f.read()
	if err != nil {
		f.log.Error("reading changed files failed, their earlier content stays in use", "files", strings.Join(f.paths, ", "), "error", err)
		return f.value
	}
	f.log.Info("files read again", "files", strings.Join(f.paths, ", "))
	f.value = value
	return f.value
}

// look returns a text that changes when one of the files changes.
func look(paths []string) string {
	var seen strings.Builder
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&seen, "%d %d;", info.Size(), info.ModTime().UnixNano())
		}
	}
	return seen.String()
}
