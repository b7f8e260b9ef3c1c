package bot

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Store holds the current Set. All methods are safe for concurrent use, and only Reload waits for files.
type Store struct {
	options Options
	logger  *slog.Logger
	loader  *loader
	current atomic.Pointer[Set]

	loading sync.Mutex      // one load at a time
	logged  map[string]bool // problems that are in the log already; guarded by loading

	mu      sync.Mutex // guards what follows
	status  Status
	files   map[string]*Bot // the bots in use, by their file
	dirs    []string
	watch   map[string]bool
	past    past
	scripts map[string]string // by their fingerprints
}

// Status is the result of a Store's latest load.
type Status struct {
	Bots     int       // that are in use
	BadFiles []string  // files whose current content is not in use, sorted
	Problems Problems  // of the bad files
	LastGood time.Time // of the latest load without bad files
	Err      error     // Problems, or why the directory could not be read; nil when everything is good
}

// NewStore loads a directory of bot files. A bad file holds back its own bot only, unless options say otherwise. It fails
// when the directory cannot be read.
func NewStore(dir string, options Options, logger *slog.Logger) (*Store, error) {
	dir, err := filepath.Abs(dir) // the watch compares names
	if err != nil {
		return nil, fmt.Errorf("bot files: %w", err)
	}
	if len(options.Dialects) == 0 {
		return nil, errNoDialects
	}
	options = options.withDefaults()
	s := &Store{options: options, logger: logger, loader: newLoader(dir, options)}
	err = s.Reload()
	switch problems, ofFiles := errors.AsType[Problems](err); {
	case err == nil:
	case !ofFiles:
		return nil, err
	case options.RefuseBad:
		return nil, problems
	}
	return s, nil
}

// Current returns the current Set, never nil.
func (s *Store) Current() *Set { return s.current.Load() }

// Status returns the result of the latest load.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// LastError returns the error of the latest load, or nil when all files were good.
func (s *Store) LastError() error { return s.Status().Err }

// Reload reads the directory again. A bad file keeps the last good version of its bot; a deleted file removes its bot.
// Reload logs and returns the problems, which Status returns too. When the directory cannot be read, all bots stay.
func (s *Store) Reload() error {
	s.loading.Lock()
	defer s.loading.Unlock()
	loaded, err := s.loader.load(s.inUse())
	if err != nil {
		s.logger.Error("loading bot files failed, keeping the current bots", "dir", s.loader.dir, "error", err)
	} else {
		err = s.use(loaded)
	}
	s.mu.Lock()
	s.status.Err = err
	status := s.status
	s.mu.Unlock()
	s.options.OnLoad(status)
	return err
}

func (s *Store) inUse() map[string]*Bot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files
}

// use replaces the current Set by the Set of a load. It returns the problems of bad files.
func (s *Store) use(l *loaded) error {
	problems, now := l.problems.sorted(), time.Now()
	s.mu.Lock()
	s.past.keep(s.files, l.bots, now)
	s.scripts = s.past.scripts(l.set)
	s.files, s.dirs, s.watch = l.bots, l.dirs, l.watch
	s.status.Bots, s.status.BadFiles, s.status.Problems = len(l.bots), l.badFiles(), problems
	if len(problems) == 0 {
		s.status.LastGood = now
	}
	before := s.current.Swap(l.set)
	s.mu.Unlock()
	if before != nil {
		before.replace()
	}

	s.logger.Info("bot files loaded", "dir", s.loader.dir, "bots", len(l.bots), "bad_files", len(l.bad))
	s.log(problems, l.warnings.sorted())
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// log logs new problems only, so that a bad file is not logged at every reload.
func (s *Store) log(problems, warnings Problems) {
	seen := make(map[string]bool, len(problems)+len(warnings))
	for _, p := range problems {
		if seen[p.String()] = true; !s.logged[p.String()] {
			s.logger.Error("bot file rejected, keeping the last good version if there is one", p.attributes()...)
		}
	}
	for _, p := range warnings {
		if seen[p.String()] = true; !s.logged[p.String()] {
			s.logger.Warn("bot file has a warning", p.attributes()...)
		}
	}
	s.logged = seen
}

// watched lists the directories whose changes may change the Set, and the files in them that are not bot files.
func (s *Store) watched() (dirs []string, files map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirs, s.watch
}
