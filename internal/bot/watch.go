package bot

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// debounce gathers the several events of one save into one reload.
	debounce = 100 * time.Millisecond
	// scriptExt ends the names of scripts whose changes are seen.
	scriptExt = ".py"
	// rewatch is how soon a directory that could not be watched is tried again.
	rewatch = 2 * time.Second
)

// Watch reloads after every change of the directory or of a secret's file, until the context ends; then it returns nil.
// It begins with a reload, so that no change since the last one is missed. Directories are watched, not files: editors
// and Kubernetes replace a file rather than write to it.
func (s *Store) Watch(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch bot files: %w", err)
	}
	defer watcher.Close()
	w := &watch{store: s, watcher: watcher, reload: time.NewTimer(0), due: true}
	defer w.reload.Stop()
	retry := time.NewTicker(rewatch)
	defer retry.Stop()
	w.follow()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			w.event(event)
		case err := <-watcher.Errors:
			// Events may have been lost, for example by an overflow: only a reload finds out.
			s.logger.Warn("watching bot files", "dir", s.dir, "error", err)
			w.schedule()
		case <-retry.C:
			if len(w.missing) > 0 {
				w.follow()
			}
		case <-w.reload.C:
			w.due = false
			_ = s.Reload() // logged and kept there
			w.follow()
		}
	}
}

// watch is the state of one call of Watch; only its goroutine uses it.
type watch struct {
	store       *Store
	watcher     *fsnotify.Watcher
	reload      *time.Timer     // fires when a reload is due
	due         bool            // whether it will
	secretFiles map[string]bool // whose changes matter
	missing     map[string]bool // directories that could not be watched
}

func (w *watch) event(event fsnotify.Event) {
	name := filepath.Clean(event.Name)
	dir, base := filepath.Dir(name), filepath.Base(name)
	switch {
	case name == w.store.dir:
		// Another directory stands there now, of which the old watch sees nothing.
		_ = w.watcher.Remove(name)
	case strings.HasPrefix(base, ".."): // Kubernetes swaps the symlink ..data
	case w.secretFiles[name]:
	case dir == w.store.dir && (isBotFile(base) || filepath.Ext(base) == scriptExt):
	default:
		return
	}
	w.schedule()
}

// schedule makes a reload due soon. One that is due already is not put off: a directory that changes all the time is
// read all the same.
func (w *watch) schedule() {
	if !w.due {
		w.due = true
		w.reload.Reset(debounce)
	}
}

// follow watches exactly the directories that matter now. A directory that was not watched until now may have changed
// since the last reload, so there is another.
func (w *watch) follow() {
	dirs, secretFiles := w.store.watched()
	before := w.watcher.WatchList()
	missing := map[string]bool{}
	for _, dir := range dirs {
		err := w.watcher.Add(dir)
		switch {
		case err == nil && !slices.Contains(before, dir):
			w.schedule()
		case err != nil:
			missing[dir] = true
			if !w.missing[dir] {
				w.store.logger.Warn("directory cannot be watched, will try again", "dir", dir, "error", err)
			}
		}
	}
	for _, dir := range before {
		if !slices.Contains(dirs, dir) {
			_ = w.watcher.Remove(dir)
		}
	}
	w.secretFiles, w.missing = secretFiles, missing
}
