package dispatch

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// runsMax bounds the conversations whose run is remembered: about 20 MB.
const runsMax = 1 << 16

// runs remembers which run of a conversation took its latest event. An Update that names the run spares the server a look-up
// in its database; one that names a run which has ended is rejected, and the caller goes on without. The zero value is
// ready.
type runs struct {
	once  sync.Once
	cache *lru.Cache[string, string] // workflow id to run id
}

func (r *runs) latest() *lru.Cache[string, string] {
	r.once.Do(func() { r.cache, _ = lru.New[string, string](runsMax) }) // fails for a size below 1 only
	return r.cache
}

// get returns the run to ask first, "" when none is known.
func (r *runs) get(workflowID string) string {
	run, _ := r.latest().Get(workflowID)
	return run
}

// set remembers the run that answered.
func (r *runs) set(workflowID, run string) { r.latest().Add(workflowID, run) }

// forget drops a run that did not take an event.
func (r *runs) forget(workflowID string) { r.latest().Remove(workflowID) }
