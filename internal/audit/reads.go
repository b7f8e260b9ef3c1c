package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/hookturn/hookturn/schemas"
)

// ReadsWindow is how long the reads of one operator are counted in one pair of events: the Temporal UI decrypts many
// payloads for a page.
const ReadsWindow = time.Minute

// Counts of reads, as their event names them.
const (
	CountRequests = "requests"
	CountPayloads = "payloads"
)

// Reads records what operators read of what is encrypted: an event before the first read of an operator, without which
// nothing is read, and one with the counts when the window is over.
type Reads struct {
	writer Writer
	action schemas.AuditAction
	log    *slog.Logger

	begin singleflight.Group // by operator
	ends  sync.WaitGroup     // windows that end

	mu     sync.Mutex
	open   map[schemas.AuditActor]*window
	closed bool
}

// window is what one operator has read since the first event.
type window struct {
	op     *Operation
	timer  *time.Timer
	counts map[string]int
	places map[string]bool
}

// NewReads returns a new Reads for an action.
func NewReads(writer Writer, action schemas.AuditAction, log *slog.Logger) *Reads {
	return &Reads{writer: writer, action: action, log: log, open: map[schemas.AuditActor]*window{}}
}

// Add records that an operator reads something: how many, by the names of counts, and in which namespace. With an error
// nothing must be read.
func (r *Reads) Add(ctx context.Context, actor schemas.AuditActor, namespace string, counts map[string]int) error {
	namespace = Clean(namespace, nameMax)
	for {
		added, err := r.add(actor, namespace, counts)
		if added || err != nil {
			return err
		}
		_, err, _ = r.begin.Do(fmt.Sprint(actor), func() (any, error) { return nil, r.start(ctx, actor, namespace) })
		if err != nil {
			return err
		}
	}
}

var errReadsClosed = errors.New("the process stops")

// add counts in the operator's window, when one is open.
func (r *Reads) add(actor schemas.AuditActor, namespace string, counts map[string]int) (added bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.open[actor]
	switch {
	case r.closed:
		return false, errReadsClosed
	case !ok:
		return false, nil
	}
	for name, n := range counts {
		w.counts[name] += n
	}
	if namespace != "" && len(w.places) < schemas.AuditObjectsMax {
		w.places[namespace] = true
	}
	return true, nil
}

// start opens the operator's window after its first event is stored. The event belongs to all requests that wait for it,
// so that it does not end with one of them.
func (r *Reads) start(ctx context.Context, actor schemas.AuditActor, namespace string) error {
	trail := Trail{Writer: r.writer, Actor: actor, Log: r.log}
	first := Change{Action: r.action}
	if namespace != "" {
		first.Objects = []string{namespace}
	}
	op, err := trail.Begin(context.WithoutCancel(ctx), first)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &window{op: op, counts: map[string]int{}, places: map[string]bool{}}
	w.timer = time.AfterFunc(ReadsWindow, func() { r.end(actor, w) })
	r.open[actor] = w
	return nil
}

// end records the counts of a window, once.
func (r *Reads) end(actor schemas.AuditActor, w *window) {
	r.mu.Lock()
	if r.open[actor] != w {
		r.mu.Unlock()
		return
	}
	delete(r.open, actor)
	r.ends.Add(1)
	r.mu.Unlock()
	defer r.ends.Done()
	w.op.End(context.Background(), Outcome{
		Result: schemas.AuditDone, Counts: w.counts, Objects: slices.Sorted(maps.Keys(w.places)),
	})
}

// Close records the counts of all windows. What is read later is an error.
func (r *Reads) Close(context.Context) error {
	r.mu.Lock()
	r.closed = true
	open := maps.Clone(r.open)
	r.mu.Unlock()
	for actor, w := range open {
		w.timer.Stop()
		r.end(actor, w)
	}
	r.ends.Wait()
	return nil
}
