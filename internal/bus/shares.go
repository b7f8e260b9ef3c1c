package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// shareFor is how long a count of stored messages is used.
	shareFor = 2 * time.Second
	// shareRest is how many times longer than it took a count is used at least: a count has an entry of each subject.
	shareRest = 10
	// shareWait is how long a write waits for a count when the one before is older than shareStale, or there is none.
	shareWait  = time.Second
	shareStale = time.Minute
	// shareTimeout bounds a count.
	shareTimeout = 20 * time.Second
	// shareSamples is how many of a tenant's messages are read to estimate their size, with each count, and shareKept how
	// many sizes are kept of a tenant.
	shareSamples = 16
	shareKept    = 8 * shareSamples
	// largestStored is more than a message can have, in bytes.
	largestStored = schemas.MessageMax + headerRoom + natsclient.SubjectMax
)

// Shares finds the tenants whose stored messages fill their share of a stream, so that the rest of it stays free for the
// others. It is safe for concurrent use.
type Shares struct {
	stream   natsclient.Leader
	filter   func(tenant string) string // of its subjects
	files    func(ctx context.Context, tenant string) (uint64, error)
	counting sync.Mutex // one tenant at a time

	mu      sync.Mutex
	state   recent[streamStored]
	all     writeCount
	tenants map[string]*ofTenant
}

// ofTenant is what is known of a tenant while the stream is at least half full, or while it writes.
type ofTenant struct {
	writeCount

	writes int // under way
	stored recent[tenantStored]
}

// streamStored is what the stream holds.
type streamStored struct {
	bytes       uint64
	most        uint64 // bytes of a share; 0: unbounded
	first, last uint64 // sequences
	ended       uint64 // of writeCount, when it was read
}

// tenantStored is what a tenant has in the stream.
type tenantStored struct {
	bytes uint64
	sizes []uint64 // of the latest samples
	ended uint64   // of writeCount, when it was counted
}

// NewEventShares returns the shares of the event stream.
func NewEventShares(js jetstream.JetStream, s Streams) *Shares {
	root := schemas.SubjectEvents + "."
	if s.partitioned {
		root += "*."
	}
	return newShares(js, schemas.StreamEvents, root)
}

// NewQueueShares returns the shares of the background queues.
func NewQueueShares(js jetstream.JetStream) *Shares {
	return newShares(js, StreamQueues, SubjectQueues+".")
}

// NewBucketShares returns the shares of a bucket whose keys begin with the tenant.
func NewBucketShares(s Streams, bucket string) *Shares {
	return newShares(s.js, "KV_"+bucket, "$KV."+bucket+".")
}

// NewFileShares returns the shares of the files, whose names begin with the tenant and a slash.
func NewFileShares(s Streams) *Shares {
	shares := newShares(s.js, filesStream, "")
	shares.files = func(ctx context.Context, tenant string) (uint64, error) { return sizeOfFiles(ctx, s.js, tenant) }
	return shares
}

func newShares(js jetstream.JetStream, stream, root string) *Shares {
	return &Shares{
		stream: natsclient.LeaderOf(js, stream), tenants: map[string]*ofTenant{},
		filter: func(tenant string) string { return root + tenant + ".>" },
	}
}

// Exceeded reports whether a tenant's stored messages fill its share. While the stream is less than half full, which one
// request every two seconds shows, the tenant is not asked for. Counts are made in the background, so that a client that
// disconnects does not end one; meanwhile the count before is valid, and what this process has written since. So it is
// when a count fails, whose error is returned once. Without a count the share is not exceeded.
func (e *Shares) Exceeded(ctx context.Context, tenant string) (bool, error) {
	state, err := ask(ctx, e, &e.state, e.readStream)
	if err != nil || !e.half(state) {
		return false, err
	}
	e.mu.Lock()
	of := e.of(tenant)
	e.mu.Unlock()
	stored, err := ask(ctx, e, &of.stored, func(ctx context.Context, before tenantStored) (tenantStored, error) {
		e.counting.Lock()
		defer e.counting.Unlock()
		return e.countTenant(ctx, tenant, of, state, before)
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	return !of.stored.until.IsZero() && stored.bytes+of.since(stored.ended) >= state.most, err
}

// half reports whether all together fill a share, so that one tenant may.
func (e *Shares) half(state streamStored) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return state.most > 0 && state.bytes+e.all.since(state.ended) >= state.most
}

// of returns what is known of a tenant, under the lock.
func (e *Shares) of(tenant string) *ofTenant {
	of := e.tenants[tenant]
	if of == nil {
		of = &ofTenant{}
		e.tenants[tenant] = of
	}
	return of
}

// recent is a value that is read again when it is old.
type recent[T any] struct {
	value   T
	err     error // of the latest reading, until it is returned
	until   time.Time
	reading chan struct{} // closed when the reading ends; nil: none
}

// ask returns a recent value. One goroutine reads it at a time, for all that ask meanwhile.
func ask[T any](
	ctx context.Context, e *Shares, r *recent[T], read func(ctx context.Context, before T) (T, error),
) (T, error) {
	e.mu.Lock()
	if r.reading == nil && !time.Now().Before(r.until) {
		r.reading = make(chan struct{})
		go refresh(e, r, r.value, read)
	}
	reading, stale := r.reading, time.Since(r.until) > shareStale
	e.mu.Unlock()
	if reading != nil && stale {
		wait := time.NewTimer(shareWait)
		defer wait.Stop()
		select {
		case <-reading:
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	err := r.err
	r.err = nil
	return r.value, err
}

func refresh[T any](e *Shares, r *recent[T], before T, read func(ctx context.Context, before T) (T, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), shareTimeout)
	defer cancel()
	began := time.Now()
	value, err := read(ctx, before)
	took := time.Since(began)
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.err = err; err == nil {
		r.value = value
	}
	r.until = time.Now().Add(max(shareFor, shareRest*took))
	close(r.reading)
	r.reading = nil
}

// readStream returns what the stream holds.
func (e *Shares) readStream(ctx context.Context, _ streamStored) (streamStored, error) {
	e.mu.Lock()
	stored := streamStored{ended: e.all.ended}
	e.mu.Unlock()
	info, err := e.stream.Info(ctx, "", 0)
	if err != nil {
		return streamStored{}, fmt.Errorf("read the state of stream %s: %w", e.stream.Stream(), err)
	}
	stored.bytes, stored.first, stored.last = info.State.Bytes, info.State.FirstSeq, info.State.LastSeq
	if info.Config.MaxBytes > 0 {
		stored.most = uint64(info.Config.MaxBytes) / 2 // half of it, as of every shared pool
	}
	if !e.half(stored) {
		e.mu.Lock()
		for tenant, of := range e.tenants {
			if of.writes == 0 {
				delete(e.tenants, tenant)
			}
		}
		e.mu.Unlock()
	}
	return stored, nil
}

// countTenant estimates what a tenant has in the stream: its messages are counted, and their size is that of samples of
// them. The average of all messages would let a tenant with few large ones hold the others to their number. Files are few:
// their sizes are read.
func (e *Shares) countTenant(
	ctx context.Context, tenant string, of *ofTenant, state streamStored, before tenantStored,
) (tenantStored, error) {
	e.mu.Lock()
	ended := of.ended
	e.mu.Unlock()
	if e.files != nil {
		bytes, err := e.files(ctx, tenant)
		if err != nil {
			return before, fmt.Errorf("count the files of a tenant: %w", err)
		}
		return tenantStored{bytes: bytes, ended: ended}, nil
	}
	count, samples, err := e.count(ctx, tenant)
	if err != nil {
		return before, err
	}
	if count*largestStored < state.most/2 {
		return tenantStored{sizes: before.sizes, ended: ended}, nil
	}
	sizes := before.sizes
	for _, subject := range samples {
		size, err := e.sizeOf(ctx, subject, state)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // it was handled in between
		case err != nil:
			return before, err
		default:
			sizes = append(slices.Clone(sizes[max(0, len(sizes)-shareKept+1):]), size)
		}
	}
	if len(sizes) == 0 {
		return tenantStored{ended: ended}, nil
	}
	var all uint64
	for _, size := range sizes {
		all += size
	}
	return tenantStored{bytes: count * all / uint64(len(sizes)), sizes: sizes, ended: ended}, nil
}

// sizeOfFiles returns the bytes of a tenant's files, by their metadata.
func sizeOfFiles(ctx context.Context, js jetstream.JetStream, tenant string) (all uint64, err error) {
	r, err := natsclient.NewReader(js, filesStream)
	if err != nil {
		return 0, err
	}
	from := natsclient.Query{Next: "$O." + BucketFiles + ".M.>", Sequence: 1}
	err = r.Read(ctx, from, func(m *jetstream.RawStreamMsg) (bool, error) {
		var info jetstream.ObjectInfo
		if json.Unmarshal(m.Data, &info) == nil && strings.HasPrefix(info.Name, tenant+"/") {
			all += info.Size + uint64(len(m.Data))
		}
		return true, nil
	})
	return all, err
}

// count returns how many messages of a tenant are stored, and the subjects of some of them, chosen at random.
func (e *Shares) count(ctx context.Context, tenant string) (count uint64, samples []string, err error) {
	filter := e.filter(tenant)
	for seen, total := 0, 1; seen < total; {
		info, err := e.stream.Info(ctx, filter, seen)
		if err != nil {
			return 0, nil, fmt.Errorf("count the messages of a tenant in stream %s: %w", e.stream.Stream(), err)
		}
		for subject, stored := range info.State.Subjects {
			if stored == 0 {
				continue
			}
			count += stored
			samples = sampled(samples, subject, stored, count)
		}
		if total = info.Total; len(info.State.Subjects) == 0 {
			break
		}
		seen += len(info.State.Subjects)
	}
	return count, samples, nil
}

// sampled returns samples of the subjects until now, the last of which holds stored of the count events: each message has
// the same probability.
func sampled(samples []string, subject string, stored, count uint64) []string {
	if samples == nil {
		samples = make([]string, shareSamples)
	}
	for n := range samples {
		if rand.Uint64N(count) < stored {
			samples[n] = subject
		}
	}
	return samples
}

// sizeOf returns the size of a message of a subject: the first one behind a random sequence, or the last one.
func (e *Shares) sizeOf(ctx context.Context, subject string, stream streamStored) (uint64, error) {
	from := stream.first + rand.Uint64N(max(1, stream.last-stream.first+1))
	m, err := e.stream.Get(ctx, natsclient.Query{Next: subject, Sequence: from})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		m, err = e.stream.Get(ctx, natsclient.Query{Last: subject})
	}
	if err != nil {
		return 0, fmt.Errorf("read a message of a tenant in stream %s: %w", e.stream.Stream(), err)
	}
	return uint64(len(m.Subject) + len(m.Data) + headerSize(m.Header)), nil
}

// headerSize returns about the size of a header in the stream.
func headerSize(header map[string][]string) (size int) {
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}
