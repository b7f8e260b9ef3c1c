package bot

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Store holds the Set in use. All methods are safe for concurrent use.
type Store struct {
	dir     string
	options Options
	logger  *slog.Logger
	current atomic.Pointer[Set]

	mu          sync.Mutex // one reload at a time; guards what follows
	lastErr     error
	secretFiles []string
	scripts     map[string]string // of the Set in use and of those before, by their fingerprint
	scriptOrder []string          // oldest first
}

// NewStore loads a directory of bot files. It fails when any file is bad: a process does not start with half of its
// bots.
func NewStore(dir string, options Options, logger *slog.Logger) (*Store, error) {
	dir, err := filepath.Abs(dir) // the watch compares names
	if err != nil {
		return nil, fmt.Errorf("bot files: %w", err)
	}
	s := &Store{dir: dir, options: options.withDefaults(), logger: logger}
	set, secretFiles, err := load(s.dir, s.options)
	if err != nil {
		return nil, err
	}
	s.use(set)
	s.secretFiles = secretFiles
	s.logger.Info("bot files loaded", "dir", s.dir, "bots", len(set.bots))
	return s, nil
}

// scriptsKept bounds the scripts that are remembered after their bot file has changed: a step that was accepted before runs
// the script of that time.
const scriptsKept = 1000

// use makes a Set the one in use.
func (s *Store) use(set *Set) {
	s.current.Store(set)
	if s.scripts == nil {
		s.scripts = map[string]string{}
	}
	for _, b := range set.Bots() {
		for id, text := range b.scripts {
			if _, known := s.scripts[id]; !known {
				s.scripts[id] = text
				s.scriptOrder = append(s.scriptOrder, id)
			}
		}
	}
	for len(s.scriptOrder) > scriptsKept {
		delete(s.scripts, s.scriptOrder[0])
		s.scriptOrder = s.scriptOrder[1:]
	}
}

// Script is the text of a script by its fingerprint, as Code has it: one of the Set in use, or one that was lately.
func (s *Store) Script(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.scripts[id]
	return text, ok
}

// Current is the Set in use; never nil.
func (s *Store) Current() *Set { return s.current.Load() }

// LastError says why the last reload was refused; nil when the Set in use is what the directory says.
func (s *Store) LastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}

// Reload reads the directory again. When everything is right the new Set replaces the one in use; otherwise that one
// stays, and the problems are logged, returned and kept for LastError.
func (s *Store) Reload() error {
	s.mu.Lock()
	set, secretFiles, err := load(s.dir, s.options)
	s.lastErr, s.secretFiles = err, secretFiles
	if err == nil {
		s.use(set)
	}
	s.mu.Unlock()

	if err == nil {
		s.logger.Info("bot files reloaded", "dir", s.dir, "bots", len(set.bots))
	} else {
		s.logRefusal(err)
	}
	s.options.OnReload(err)
	return err
}

func (s *Store) logRefusal(err error) {
	var problems Problems
	if !errors.As(err, &problems) {
		s.logger.Error("bot files refused, the running ones stay in use", "dir", s.dir, "error", err)
		return
	}
	s.logger.Error("bot files refused, the running ones stay in use", "dir", s.dir, "problems", len(problems))
	for _, p := range problems {
		s.logger.Error("problem in a bot file",
			"file", p.File, "line", p.Line, "column", p.Column, "key", p.Key, "problem", p.Message)
	}
}

// watched lists the directories whose changes may change the Set, and the files of secrets in them.
func (s *Store) watched() (dirs []string, secretFiles map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The parent sees the directory itself being replaced, as a release that moves a symlink does.
	dirs = []string{s.dir, filepath.Dir(s.dir)}
	secretFiles = make(map[string]bool, len(s.secretFiles))
	for _, path := range s.secretFiles {
		secretFiles[path] = true
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs, secretFiles
}
