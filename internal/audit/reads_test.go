package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// desk is a shelf that several goroutines use.
type desk struct {
	mu sync.Mutex
	shelf
}

func (d *desk) Write(ctx context.Context, event schemas.AuditEvent) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shelf.Write(ctx, event)
}

func newReads(to Writer) *Reads {
	return NewReads(to, schemas.AuditPayloadsDecrypt, slog.New(slog.DiscardHandler))
}

var (
	carla = schemas.AuditActor{Name: "carla", Role: "owner", Via: "admin_api", From: "192.0.2.1"}
	dora  = schemas.AuditActor{Name: "dora", Role: "owner", Via: "admin_api", From: "192.0.2.2"}
)

// TestReads_OnePairForEachOperatorAndWindow reads 100 pages side by side as two operators, then one after the window.
func TestReads_OnePairForEachOperatorAndWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &desk{}
		r := newReads(to)
		var pages sync.WaitGroup
		for n := range 100 {
			for _, actor := range []schemas.AuditActor{carla, dora} {
				pages.Go(func() {
					counts := map[string]int{CountRequests: 1, CountPayloads: 3}
					require.NoError(t, r.Add(t.Context(), actor, fmt.Sprint("shop-", n%2), counts))
				})
			}
		}
		pages.Wait()
		require.Len(t, to.events, 2, "stored before anything is read")
		for _, e := range to.events {
			require.Equal(t, schemas.AuditRequested, e.Data.Result)
		}
		<-time.After(ReadsWindow)
		synctest.Wait()
		require.Len(t, to.events, 4)
		for _, e := range to.events[2:] {
			require.Equal(t, schemas.AuditDone, e.Data.Result)
			require.Equal(t, map[string]int{CountRequests: 100, CountPayloads: 300}, e.Data.Counts)
			require.Equal(t, []string{"shop-0", "shop-1"}, e.Data.Objects)
		}
		require.NoError(t, r.Add(t.Context(), carla, "", map[string]int{CountRequests: 1}))
		require.Len(t, to.events, 5, "another window")
		require.NoError(t, r.Close(t.Context()))
		require.Len(t, to.events, 6, "a window that is open when the process stops")
		require.Equal(t, to.events[4].Data.Operation, to.events[5].Data.Operation)
		require.Error(t, r.Add(t.Context(), carla, "", nil))
	})
}

// TestReads_NothingWithoutTheEvent: the event is not stored, then it is.
func TestReads_NothingWithoutTheEvent(t *testing.T) {
	t.Parallel()
	to := &desk{shelf: shelf{err: errors.New("away")}}
	r := newReads(to)
	require.ErrorContains(t, r.Add(t.Context(), carla, "", nil), "away")
	to.err = nil
	require.NoError(t, r.Add(t.Context(), carla, "", nil))
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, to.events, 2)
}

// TestReads_Bounded: a client may name any namespace.
func TestReads_Bounded(t *testing.T) {
	t.Parallel()
	to := &desk{}
	r := newReads(to)
	for n := range 1000 {
		require.NoError(t, r.Add(t.Context(), carla, fmt.Sprintf("%0200d\n", n), nil))
	}
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, to.events, 2)
	require.LessOrEqual(t, len(to.events[1].Data.Objects), schemas.AuditObjectsMax)
	require.Len(t, to.events[0].Data.Objects[0], nameMax)
}
