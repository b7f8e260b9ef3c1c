package eventreader

import (
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestReader_ServerLostItsLastWrites: a single server that loses power forgets acknowledgements that it had received, and with
// them whom it has delivered events to. It delivers them again, and counts that as the first delivery. The handler learns
// that it may know them.
func TestReader_ServerLostItsLastWrites(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, consumer string){
		"the consumer's state": func(t *testing.T, consumer string) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(consumer, "o.dat")))
		},
		"the consumer": func(t *testing.T, consumer string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(consumer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, kept := t.TempDir(), t.TempDir()
			server := startServerAt(t, -1, dir)
			port := server.Addr().(*net.TCPAddr).Port
			restart := func(meanwhile func(stream string)) {
				server.Shutdown()
				server.WaitForShutdown()
				found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", schemas.StreamEvents))
				require.NoError(t, err)
				require.Len(t, found, 1)
				meanwhile(found[0])
				server = startServerAt(t, port, dir)
			}
			js := connectTo(t, server)
			connected := func() {
				require.Eventually(t, func() bool {
					ctx, cancel := context.WithTimeout(testContext(t), time.Second)
					defer cancel()
					_, err := js.AccountInfo(ctx)
					return err == nil
				}, soon, poll)
			}
			streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 1, StarterTTL: time.Minute})
			require.NoError(t, err)
			var (
				mu      sync.Mutex
				first   = map[uint64]int{}
				again   = map[uint64]int{}
				release = make(chan struct{})
			)
			r := startReader(t, js, streams, Options{AckWait: 2 * time.Second, Handler: func(_ context.Context, m *Message) Outcome {
				<-release
				mu.Lock()
				defer mu.Unlock()
				if m.TakenOver || m.Deliveries > 1 {
					again[m.Sequence]++
				} else {
					first[m.Sequence]++
				}
				return Ack()
			}})
			p := onlyPartition(t, r)
			for n := range 6 {
				publish(t, js, []string{"a", "b"}[n%2], n)
			}
			restart(func(stream string) { require.NoError(t, os.CopyFS(filepath.Join(kept, "events"), os.DirFS(stream))) })
			connected()
			close(release)
			requireEmpty(t, streams)
			mu.Lock()
			before := maps.Clone(first)
			clear(again)
			mu.Unlock()
			restart(func(stream string) {
				require.NoError(t, os.RemoveAll(stream))
				require.NoError(t, os.CopyFS(stream, os.DirFS(filepath.Join(kept, "events"))))
				lose(t, filepath.Join(stream, "obs", p.name))
			})
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(again) == 6
			}, soon, poll)
			publish(t, js, "a", 6)
			requireEmpty(t, streams)
			mu.Lock()
			defer mu.Unlock()
			before[7] = 1
			require.Equal(t, before, first, "an event that was handled may be known, a new one is not")
		})
	}
}

// TestQueue_HandledTwiceIsStillKnown: an event that was delivered again is handled, and acknowledged once more. When its
// queue reads the stream for a newer event before the server has removed it, it comes for the third time, and is still one
// that the handler may know.
func TestQueue_HandledTwiceIsStillKnown(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	p := newPartition(NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()}, nil)
	defer p.cancel()
	stored := streams.PartitionFilter(0)
	at := func(sequence uint64) *Message {
		return &Message{Sequence: sequence, stored: strings.Replace(stored, ">", "acme.shop.c", 1), tenant: "acme"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handleAgain(at(5))
	p.handleAgain(at(7))
	q := p.queues[at(5).stored]
	p.enqueue(p.backlogs["acme"], at(9))
	for _, c := range []struct {
		sequence uint64
		known    bool
	}{{5, true}, {7, true}, {7, true}, {9, false}} {
		require.Equal(t, c.known, p.start(q, at(c.sequence)).TakenOver, c.sequence)
		q.finish()
	}
}
