// Package fresh keeps a value that is made of files and makes it again when they change. A bad new file never replaces a
// good one.
package fresh

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

// Read makes the value. A path may be a directory: then a change of any file in it counts.
func Read[T any](log *slog.Logger, read func() (T, error), paths ...string) (*Value[T], error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Value[T]{read: read, paths: paths, log: log, seen: look(paths), until: time.Now().Add(Interval)}
	var err error
	f.value, err = read()
	return f, err
}

// Get returns the value of the files as they are now, or of their last valid state.
func (f *Value[T]) Get() T { return f.get(false) }

// Reread is Get, but looks at the files whenever they were looked at last.
func (f *Value[T]) Reread() T { return f.get(true) }

func (f *Value[T]) get(always bool) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.until) && !always {
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
		f.log.Error("reading changed files failed, their earlier content stays in use", "files", strings.Join(f.paths, ", "),
			"error", err)
		return f.value
	}
	f.log.Info("files read again", "files", strings.Join(f.paths, ", "))
	f.value = value
	return f.value
}

// look returns a text that changes when one of the files changes, or a file of one of the directories.
func look(paths []string) string {
	var seen strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		fmt.Fprintf(&seen, "%d %d;", info.Size(), info.ModTime().UnixNano())
		if !info.IsDir() {
			continue
		}
		entries, _ := os.ReadDir(path) // an unreadable directory fails when it is read
		for _, entry := range entries {
			if file, err := os.Stat(filepath.Join(path, entry.Name())); err == nil && !file.IsDir() {
				fmt.Fprintf(&seen, "%s %d %d;", entry.Name(), file.Size(), file.ModTime().UnixNano())
			}
		}
	}
	return seen.String()
}
