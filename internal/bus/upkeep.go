package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// upkeepEvery is how often Upkeep checks for streams and buckets that have vanished.
const upkeepEvery = 5 * time.Second

// upkeep is the natsclient.Upkeep of one connection: it creates the streams and buckets again when they have vanished, and
// records the results of the latest writes.
type upkeep struct {
	log    *slog.Logger
	writes writes
	// looking has a value while a look runs. Two at the same time could compare the ends of a growing stream in the wrong
	// order, and take it for one that was set back.
	looking chan struct{}

	mu        sync.Mutex
	js        jetstream.JetStream // without upkeep: a restoration does not restore
	options   *StreamOptions      // nil before Setup: nothing is created
	created   map[string]time.Time
	last      map[string]storedEnd          // of each stream, at the latest look
	seen      map[string]uint64             // latest sequence that any stream of a name has had, as far as this process knows
	layout    layout                        // of the event stream at the latest look
	use       map[string]StreamUse          // of each stream, when it was read last
	compares  []func(context.Context) error // of values that processes share
	restored  map[string]chan struct{}      // by stream; closed when it was created again, or set back
	restoring *restoration
}

// restoration is one check of all streams and buckets; concurrent callers wait for the same one.
type restoration struct {
	done chan struct{}
	err  error
}

// over reports whether the restoration has ended.
func (r *restoration) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func newUpkeep(js jetstream.JetStream, log *slog.Logger) *upkeep {
	return &upkeep{log: log, js: js, looking: make(chan struct{}, 1), restored: map[string]chan struct{}{},
		created: map[string]time.Time{}, last: map[string]storedEnd{}, seen: map[string]uint64{}, use: map[string]StreamUse{}}
}

// upkeepOf returns the upkeep of a connection that Connect has made, nil of any other.
func upkeepOf(js jetstream.JetStream) *upkeep {
	u, _ := natsclient.UpkeepOf(js).(*upkeep)
	return u
}

// Upkeep checks for streams and buckets that have vanished, or were created again by another process, until ctx ends.
func Upkeep(ctx context.Context, js JetStream) {
	u := upkeepOf(js)
	if u == nil {
		return
	}
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			try, cancel := context.WithTimeout(ctx, natsclient.APITimeout)
			if err := u.look(try); err != nil {
				u.log.DebugContext(ctx, "checking for vanished streams failed, will retry", "error", err)
			}
			cancel()
		}
	}
}

// look restores when a stream or bucket is missing or is not the one that it was. It waits for one that runs until ctx ends.
func (u *upkeep) look(ctx context.Context) error {
	select {
	case u.looking <- struct{}{}:
		defer func() { <-u.looking }()
	case <-ctx.Done():
		return fmt.Errorf("wait for another check of the streams: %w", ctx.Err())
	}
	missing, err := u.differing(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return u.Restore(ctx)
	}
	u.compareOrLog(ctx)
	return nil
}

// differing returns the streams that are missing, or were created again since the last restoration.
func (u *upkeep) differing(ctx context.Context) ([]string, error) {
	u.mu.Lock()
	known, js := maps.Clone(u.created), u.js
	u.mu.Unlock()
	var differing []string
	var behind []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		stream, err := js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			differing = append(differing, name)
		case err != nil:
			return nil, fmt.Errorf("stream %s: %w", name, err)
		case !stream.CachedInfo().Created.Equal(known[name]):
			differing = append(differing, name)
		case u.setBack(ctx, js, name, stream.CachedInfo()):
			behind = append(behind, name)
		}
	}
	if len(behind) > 0 {
		u.log.WarnContext(ctx, "streams end earlier than before, reading them again: were they restored from a backup?",
			"streams", behind,
			"hint", "restart workers and starters after a restore")
		u.reread(behind)
	}
	return differing, nil
}

// reread closes the channels of Restored of streams.
func (u *upkeep) reread(streams []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range streams {
		delete(u.last, name)
		if waiting := u.restored[name]; waiting != nil {
			close(waiting)
			delete(u.restored, name)
		}
	}
}

// Restore creates what is missing. Callers at the same time share one restoration.
func (u *upkeep) Restore(ctx context.Context) error {
	u.mu.Lock()
	r := u.restoring
	if r == nil || r.over() {
		if u.options == nil {
			u.mu.Unlock()
			return errors.New("no streams were set up on this connection")
		}
		r = &restoration{done: make(chan struct{})}
		u.restoring = r
		go u.run(r)
	}
	u.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run does a restoration on a time of its own: the operation that needs it may have little left, others wait for it too.
func (u *upkeep) run(r *restoration) {
	ctx, cancel := context.WithTimeout(context.Background(), natsclient.APITimeout)
	defer cancel()
	defer close(r.done)
	u.mu.Lock()
	js, options := u.js, *u.options
	options.seen = maps.Clone(u.seen)
	options.Partitions = cmp.Or(u.layout.partitions, options.Partitions) // as many as the stream had
	u.mu.Unlock()
	if _, r.err = setUp(ctx, js, options); r.err != nil {
		u.log.Log(ctx, natsclient.RetryLevel(r.err), "creating vanished streams again failed, will retry", "error", r.err)
		return
	}
	u.compareOrLog(ctx)
	if r.err = u.note(ctx); r.err == nil {
		natsclient.ForgetDeniedCreation(js)
	}
}

// note records the streams as they are now, and closes the channels of Restored of those that were created again.
func (u *upkeep) note(ctx context.Context) error {
	now := map[string]*jetstream.StreamInfo{}
	for _, name := range streamNames() {
		stream, err := u.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		now[name] = stream.CachedInfo()
	}
	again, reused := u.record(now)
	if len(again) > 0 {
		u.log.WarnContext(ctx, "streams had vanished and were created again: what they held is lost", "streams", again)
		u.reread(again)
	}
	if len(reused) > 0 {
		u.log.WarnContext(ctx, "sequences of streams come again, a process that had not seen them has created them", "streams",
			reused, "hint", "engines that read GET /replies must begin at after=0 when "+schemas.StreamReplies+" is among them")
	}
	return nil
}

// compareOrLog runs what OnLook has registered. A comparison that fails does not end a look or a restoration: the next look
// tries again.
func (u *upkeep) compareOrLog(ctx context.Context) {
	u.mu.Lock()
	compares := slices.Clone(u.compares)
	u.mu.Unlock()
	for _, one := range compares {
		if err := one(ctx); err != nil {
			u.log.Log(ctx, natsclient.RetryLevel(err), "comparing shared values failed, will retry", "error", err)
		}
	}
}

// configure records the result of Setup, so that it can be created again.
func (u *upkeep) configure(ctx context.Context, o StreamOptions) error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	u.options = &o
	u.mu.Unlock()
	return u.note(ctx)
}

// OnLook registers a comparison of what this process has of a value that all processes share with what is stored. It is run
// at each look of Upkeep, and when streams and buckets were created again; it must not wait for such a restoration itself.
func (s Streams) OnLook(compare func(context.Context) error) {
	if s.up == nil {
		return
	}
	s.up.mu.Lock()
	defer s.up.mu.Unlock()
	s.up.compares = append(s.up.compares, compare)
}

// Restored returns a channel that is closed when a stream is created again from now on, or set back by a restore from a
// backup: what was read from it is to be read again, and its sequences come again. The stream of a bucket is named KV_ and
// the bucket.
func (s Streams) Restored(stream string) <-chan struct{} {
	return s.up.restoredChannel(stream)
}

func (u *upkeep) restoredChannel(stream string) <-chan struct{} {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.restored[stream] == nil {
		u.restored[stream] = make(chan struct{})
	}
	return u.restored[stream]
}

// streamNames are the streams of hookturn, those behind buckets included.
func streamNames() []string {
	names := []string{schemas.StreamEvents, schemas.StreamReplies, schemas.StreamDeadLetters, StreamQueues, schemas.StreamAudit,
		StreamOwnerAudit, "OBJ_" + BucketFiles}
	for _, b := range bucketConfigs(StreamOptions{}) {
		names = append(names, "KV_"+b.Bucket)
	}
	return names
}

// Ready reports whether events can be read and replies published: it checks the account, every stream and bucket of
// Setup on this connection, whether JetStream stores writes, and whether the user has the permissions that it needs. An open
// connection alone is not sufficient. Vanished streams and buckets are created again.
func Ready(ctx context.Context, js jetstream.JetStream) error {
	if err := natsclient.Denied(js); err != nil {
		return err
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("jetstream does not answer: %w", err)
	}
	u := upkeepOf(js)
	if u == nil || !u.configured() {
		if _, err := js.Stream(ctx, schemas.StreamEvents); err != nil {
			return fmt.Errorf("stream %s: %w", schemas.StreamEvents, err)
		}
		return nil
	}
	if err := u.look(ctx); err != nil {
		return err
	}
	return u.writable(ctx)
}

func (u *upkeep) configured() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.options != nil
}
