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
	// debounce joins the events of one save into one reload.
	debounce = 100 * time.Millisecond
	// loadShare keeps a directory that changes all the time from taking more than a fifth of one core: a reload waits this
	// many times as long as the one before took.
	loadShare = 4
	// scriptExt is the extension of scripts that are watched.
	scriptExt = ".py"
	// rewatch is the interval of retries for a directory that could not be watched, or not be loaded in time.
	rewatch = 2 * time.Second
)

// Watch reloads after every change of the directories, of a secret or of a script, until the context ends; then it
// returns nil. It begins with a reload, so that no change since the last one is missed. Directories are watched, not
// files: editors and Kubernetes replace a file rather than write to it.
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
			s.logger.WarnContext(ctx, "watching bot files failed, reloading all files", "dir", s.loader.dir, "error", err)
			w.schedule()
		case <-retry.C:
			if len(w.missing) > 0 {
				w.follow()
			}
			if s.loader.late.Swap(false) {
				w.schedule()
			}
		case <-w.reload.C:
			w.due = false
			started := time.Now()
			_ = s.Reload() // logged and kept there
			w.took = time.Since(started)
			w.follow()
		}
	}
}

// watch is the state of one call of Watch; only its goroutine uses it.
type watch struct {
	store   *Store
	watcher *fsnotify.Watcher
	reload  *time.Timer     // fires when a reload is due
	due     bool            // whether it will
	took    time.Duration   // by the latest reload
	files   map[string]bool // secrets and scripts, whose changes matter
	missing map[string]bool // directories that could not be watched
}

func (w *watch) event(event fsnotify.Event) {
	name := filepath.Clean(event.Name)
	dir, base := filepath.Dir(name), filepath.Base(name)
	switch {
	case slices.Contains(w.watcher.WatchList(), name):
		// Another directory stands there now, of which the old watch sees nothing.
		_ = w.watcher.Remove(name)
	case strings.HasPrefix(base, ".."): // Kubernetes swaps the symlink ..data
	case w.files[name]:
	case dir == filepath.Dir(w.store.loader.dir):
		return
	case isBotFile(base) || filepath.Ext(base) == scriptExt:
	case dir == w.store.loader.dir && filepath.Ext(base) == "": // perhaps the directory of a tenant
	default:
		return
	}
	w.schedule()
}

// schedule schedules a reload. It does not postpone a scheduled one, so that a directory that changes all the time is
// reloaded too.
func (w *watch) schedule() {
	if !w.due {
		w.due = true
		w.reload.Reset(max(debounce, loadShare*w.took))
	}
}

// follow watches exactly the directories that matter now. A directory that was not watched until now may have changed
// since the last reload, so there is another.
func (w *watch) follow() {
	dirs, files := w.store.watched()
	before, now, missing := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, dir := range w.watcher.WatchList() {
		before[dir] = true
	}
	for _, dir := range dirs {
		now[dir] = true
		err := w.watcher.Add(dir)
		switch {
		case err == nil && !before[dir]:
			w.schedule()
		case err != nil:
			missing[dir] = true
			if !w.missing[dir] {
				w.store.logger.Warn("watching directory failed, will retry", "dir", dir, "error", err)
			}
		}
	}
	for dir := range before {
		if !now[dir] {
			_ = w.watcher.Remove(dir)
		}
	}
	w.files, w.missing = files, missing
}
