package bot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// loadersMax bounds the units that are loaded side by side.
	loadersMax = 8
	// abandonedMax bounds the loads of one unit that were abandoned and still run: a unit with more is bad until one ends.
	abandonedMax = 3
)

// loader reads a directory again and again. One unit that hangs delays the others by LoadTimeout at most, and ends with it:
// its goroutine is abandoned, and stops where it looks whether it was.
type loader struct {
	dir     string
	options Options

	mu      sync.Mutex
	hanging map[string]int // abandoned goroutines that still run, by unit

	late atomic.Bool // an abandoned load has ended: the next one can succeed
}

func newLoader(dir string, options Options) *loader {
	return &loader{dir: dir, options: options, hanging: map[string]int{}}
}

// listing stands for the directory itself among the units.
const listing = "."

// load reads all files. The bots of previous stay where their file is bad now.
func (l *loader) load(previous map[string]*Bot) (*loaded, error) {
	type listed struct {
		units []unit
		err   error
	}
	found, err := bounded(l, listing, func(func() bool) listed {
		units, err := list(l.dir)
		return listed{units, err}
	})
	if err == nil {
		err = found.err
	}
	if err != nil {
		return nil, err
	}
	results := make([][]result, len(found.units))
	var all sync.WaitGroup
	places := make(chan struct{}, loadersMax)
	for i, u := range found.units {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			results[i] = l.loadUnit(u)
		})
	}
	all.Wait()
	merged := newLoaded(l.dir, l.options.SecretsDir, previous)
	for i, u := range found.units {
		merged.add(u, results[i])
	}
	merged.finish(l.options.Licences)
	return merged, nil
}

// loadUnit loads the files of a unit. What was not read in time is bad.
func (l *loader) loadUnit(u unit) []result {
	var mu sync.Mutex
	var done []result
	_, err := bounded(l, u.name, func(abandoned func() bool) struct{} {
		for _, base := range u.files {
			r := l.loadFile(u.home, base, abandoned)
			if abandoned() {
				break
			}
			mu.Lock()
			done = append(done, r)
			mu.Unlock()
		}
		return struct{}{}
	})
	mu.Lock()
	defer mu.Unlock()
	results := append([]result(nil), done...)
	for _, base := range u.files[len(results):] {
		name := u.home.fileName(base)
		if err == nil { // the loading goroutine noticed first
			err = errTimeout(l.options.LoadTimeout)
		}
		results = append(results, result{file: name, problems: Problems{{File: name, Message: err.Error()}}})
	}
	return results
}

func errTimeout(after time.Duration) error {
	return fmt.Errorf("could not be loaded within %s: the load was abandoned", after)
}

// bounded runs a part of a load, at most LoadTimeout long. After that the caller goes on without it.
func bounded[T any](l *loader, name string, run func(abandoned func() bool) T) (T, error) {
	var none T
	l.mu.Lock()
	if l.hanging[name] >= abandonedMax {
		l.mu.Unlock()
		return none, fmt.Errorf("%d earlier loads of it have not ended: fix the file, then restart the process", abandonedMax)
	}
	l.hanging[name]++
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), l.options.LoadTimeout)
	defer cancel()
	var abandoned atomic.Bool
	results := make(chan T, 1)
	go func() {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.hanging[name]--; l.hanging[name] == 0 {
				delete(l.hanging, name)
			}
		}()
		results <- run(abandoned.Load)
		if abandoned.Load() {
			l.late.Store(true)
		}
	}()
	select {
	case result := <-results:
		return result, nil
	case <-ctx.Done():
	}
	abandoned.Store(true)
	select {
	case result := <-results: // it ended before it was abandoned
		return result, nil
	default:
		return none, errTimeout(l.options.LoadTimeout)
	}
}

// reason is an error without the path that the problem names anyway.
func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}
