package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// streamNames lists the streams that are there, those of buckets included.
func (d *drill) streamNames(t *testing.T) []string {
	t.Helper()
	var names []string
	retried(t, func(ctx context.Context) error {
		names = nil
		list := d.js.StreamNames(ctx)
		for name := range list.Name() {
			names = append(names, name)
		}
		return list.Err()
	})
	require.NotEmpty(t, names)
	return names
}

// delete deletes a stream and waits until the programs have made it again.
func (d *drill) delete(t *testing.T, name string) {
	t.Helper()
	deleteStream(t, d.js, name)
	require.Eventually(t, func() bool {
		_, err := d.js.Stream(t.Context(), name)
		return err == nil
	}, recovery, 100*time.Millisecond, "%s was deleted and is not made again", name)
}

// stored is the longest step where nothing but stores vanish or are full: each of them is waited for once.
const stored = time.Second

// TestDrill_DeletedBuckets deletes each bucket under load.
func TestDrill_DeletedBuckets(t *testing.T) {
	d := newDrill(t, drillConversations, drillOptions{held: stored})
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	d.forgets = true
	for _, name := range d.streamNames(t) {
		if strings.HasPrefix(name, "KV_") || strings.HasPrefix(name, "OBJ_") {
			d.delete(t, name)
			d.recovered(t, name+" deleted")
		}
	}
	stop()
	d.check(t)
}

// TestDrill_DeletedStreams deletes each stream while nothing waits in it: what a deleted stream held is lost, but the
// programs go on with a new one.
func TestDrill_DeletedStreams(t *testing.T) {
	d := newDrill(t, drillConversations, drillOptions{held: stored})
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	for _, name := range d.streamNames(t) {
		if strings.HasPrefix(name, "KV_") || strings.HasPrefix(name, "OBJ_") {
			continue
		}
		stop()
		before := invariants.Traffic{Sent: d.traffic.sent, Replies: d.traffic.engine.all()}
		d.delete(t, name)
		if name == "HOOKTURN_REPLIES" { // the engine of before reads the new stream, too, until it notices the loss
			d.before, d.traffic = before, newTraffic(readReplies(t, d.js))
		}
		stop = d.load(t)
		d.recovered(t, name+" deleted")
	}
	stop()
	d.check(t)
}

// readReplies is an engine on a stream of replies that it does not make itself.
func readReplies(t *testing.T, js jetstream.JetStream) *engine {
	t.Helper()
	e := &engine{js: js, operator: js, changed: make(chan struct{})}
	consumer, err := js.OrderedConsumer(t.Context(), "HOOKTURN_REPLIES", jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	reading, err := consumer.Consume(func(msg jetstream.Msg) {
		var reply schemas.Reply
		if json.Unmarshal(msg.Data(), &reply) != nil {
			reply.ID = msg.Subject()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.replies, e.headers = append(e.replies, reply), append(e.headers, msg.Headers())
		close(e.changed)
		e.changed = make(chan struct{})
	})
	require.NoError(t, err)
	t.Cleanup(reading.Stop)
	return e
}

// TestDrill_FullStore fills JetStream's store: nothing is lost, readiness reports it, and the load goes on when there
// is room.
func TestDrill_FullStore(t *testing.T) {
	d := newDrill(t, drillConversations, drillOptions{
		held: stored, env: []string{fmt.Sprintf("HOOKTURN_EVENTS_MAX_BYTES=%d", 1<<26)},
	})
	d.shrinkStore(t, 1<<28)
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	fillers := d.fill(t)
	for _, p := range []*proc{d.workers[0], d.starters[0]} {
		require.Eventually(t, func() bool { return readyStatus(p) == http.StatusServiceUnavailable }, patience, 200*time.Millisecond,
			"%s is ready although nothing can be stored", p.cmd.Path)
	}
	for _, name := range fillers {
		deleteStream(t, d.js, name)
	}
	d.recovered(t, "store full")
	stop()
	d.check(t)
}

// shrinkStore limits the store of JetStream so that a test can fill it. Streams reserve their maximum size, so they shrink
// first: the events and the replies to a quarter of the store each.
func (d *drill) shrinkStore(t *testing.T, size int64) {
	t.Helper()
	for _, one := range bus.Sizes() {
		stream, err := d.js.Stream(t.Context(), one.Stream)
		require.NoError(t, err)
		config := stream.CachedInfo().Config
		config.MaxBytes = size / 32
		if one.Name == "events" || one.Name == "replies" {
			config.MaxBytes = size / 4
		}
		_, err = d.js.UpdateStream(t.Context(), config)
		require.NoError(t, err)
	}
	d.nats.stop(t)
	d.options.natsArgs = []string{fmt.Sprintf("--max-store=%d", size)}
	d.startNATS(t)
}

// fill stores messages until JetStream takes no more, and returns the streams that hold them.
func (d *drill) fill(t *testing.T) []string {
	t.Helper()
	const name = "FILLER"
	_, err := d.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"filler"}})
	require.NoError(t, err)
	for size := 1 << 20; size >= 64; {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := d.js.PublishMsg(ctx, &nats.Msg{Subject: "filler", Data: make([]byte, size)})
		cancel()
		if err != nil {
			size /= 4
		}
	}
	return []string{name}
}

// TestDrill_SlowTemporal lets everything between the programs and Temporal take longer.
func TestDrill_SlowTemporal(t *testing.T) {
	var slow *proxy
	d := newDrill(t, drillConversations, drillOptions{through: func(temporal string) string {
		slow = startProxy(t, temporal)
		return slow.addr
	}})
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	for _, delay := range []time.Duration{100 * time.Millisecond, 600 * time.Millisecond} {
		slow.delay.Store(int64(delay))
		d.recovered(t, fmt.Sprintf("Temporal slower by %v", 2*delay))
	}
	slow.delay.Store(0)
	d.recovered(t, "Temporal as fast as before")
	stop()
	d.check(t)
}
