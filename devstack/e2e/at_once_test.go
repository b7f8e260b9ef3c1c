package e2e

import (
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// atOnce runs the scripts of a test side by side, whatever -parallel is: they share one stack, and mostly wait.
type atOnce struct {
	*testing.T

	group *sync.WaitGroup
}

// Run starts a script. The test waits for the group.
func (s atOnce) Run(name string, f func(testscript.T)) {
	s.group.Go(func() {
		s.T.Run(name, func(t *testing.T) { f(atOnce{T: t, group: s.group}) }) //nolint:paralleltest // see Parallel
	})
}

// Parallel does nothing: a script that called it would wait for the end of the others' slots.
func (atOnce) Parallel() {}

// Verbose reports whether the log of a script is shown.
func (atOnce) Verbose() bool { return testing.Verbose() }
