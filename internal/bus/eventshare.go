package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// shareFor is how long a count of stored events is used.
	shareFor = 2 * time.Second
	// shareRest is how many times longer than it took a count is used at least: a count has an entry of each conversation.
	shareRest = 10
	// shareWait is how long an event waits for a count when the one before is older than shareStale, or there is none.
	shareWait  = time.Second
	shareStale = time.Minute
	// shareTimeout bounds a count.
	shareTimeout = 20 * time.Second
	// shareSamples is how many of a tenant's events are read to estimate their size, with each count, and shareKept how
	// many sizes are kept of a tenant.
	shareSamples = 16
	shareKept    = 8 * shareSamples
	// largestEvent is more than an event can have, in bytes.
	largestEvent = schemas.MessageMax + headerRoom + subjectMax
)

// EventShares finds the tenants whose waiting events fill their share of the event stream, so that the rest of it stays
// free for the others. It is safe for concurrent use.
type EventShares struct {
	events      leader
	partitioned bool
	counting    sync.Mutex // one tenant at a time

	mu      sync.Mutex
	stream  recent[eventsStored]
	tenants map[string]*recent[eventsOfTenant]
}

// eventsStored is what the stream holds.
type eventsStored struct {
	exceeded    bool   // all together fill a share, so that one tenant may
	most        uint64 // bytes of the share
	first, last uint64 // sequences
}

// eventsOfTenant is what a tenant has in the stream.
type eventsOfTenant struct {
	exceeded bool
	sizes    []uint64 // of the latest samples
}

// NewEventShares returns a new EventShares on an account's streams.
func NewEventShares(js jetstream.JetStream, s Streams) *EventShares {
	return &EventShares{
		events: leaderOf(js, rightsOf(js), schemas.StreamEvents), partitioned: s.partitioned,
		tenants: map[string]*recent[eventsOfTenant]{},
	}
}

// Exceeded reports whether a tenant's stored events fill its share. While the stream is less than half full, which one
// request every two seconds shows, the tenant is not asked for. Counts are made in the background, so that a client that
// disconnects does not end one; meanwhile the count before is valid. So it is when a count fails, whose error is returned
// once. Without a count the share is not exceeded.
func (e *EventShares) Exceeded(ctx context.Context, tenant string) (bool, error) {
	stream, err := ask(ctx, e, &e.stream, e.readStream)
	if err != nil || !stream.exceeded {
		return false, err
	}
	e.mu.Lock()
	of := e.tenants[tenant]
	if of == nil {
		of = &recent[eventsOfTenant]{}
		e.tenants[tenant] = of
	}
	e.mu.Unlock()
	is, err := ask(ctx, e, of, func(ctx context.Context, before eventsOfTenant) (eventsOfTenant, error) {
		e.counting.Lock()
		defer e.counting.Unlock()
		return e.countTenant(ctx, tenant, stream, before)
	})
	return is.exceeded, err
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
	ctx context.Context, e *EventShares, r *recent[T], read func(ctx context.Context, before T) (T, error),
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

func refresh[T any](e *EventShares, r *recent[T], before T, read func(ctx context.Context, before T) (T, error)) {
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
func (e *EventShares) readStream(ctx context.Context, _ eventsStored) (eventsStored, error) {
	info, err := e.info(ctx, "", 0)
	if err != nil {
		return eventsStored{}, fmt.Errorf("read the state of stream %s: %w", schemas.StreamEvents, err)
	}
	stored := eventsStored{first: info.State.FirstSeq, last: info.State.LastSeq}
	if info.Config.MaxBytes > 0 && info.State.Msgs > 0 {
		stored.most = uint64(info.Config.MaxBytes) / 2 // half of it, as of every shared pool
		stored.exceeded = info.State.Bytes >= stored.most
	}
	if !stored.exceeded {
		e.mu.Lock()
		clear(e.tenants)
		e.mu.Unlock()
	}
	return stored, nil
}

// countTenant estimates what a tenant has in the stream: its events are counted, and their size is that of samples of
// them. The average of all events would let a tenant with few large events hold the others to their number.
func (e *EventShares) countTenant(
	ctx context.Context, tenant string, stream eventsStored, before eventsOfTenant,
) (eventsOfTenant, error) {
	count, samples, err := e.count(ctx, tenant)
	if err != nil {
		return before, err
	}
	if count*largestEvent < stream.most {
		return eventsOfTenant{sizes: before.sizes}, nil
	}
	sizes := before.sizes
	for _, subject := range samples {
		size, err := e.sizeOf(ctx, subject, stream)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // it was handled in between
		case err != nil:
			return before, err
		default:
			sizes = append(slices.Clone(sizes[max(0, len(sizes)-shareKept+1):]), size)
		}
	}
	if len(sizes) == 0 {
		return eventsOfTenant{}, nil
	}
	var all uint64
	for _, size := range sizes {
		all += size
	}
	return eventsOfTenant{exceeded: count*all/uint64(len(sizes)) >= stream.most, sizes: sizes}, nil
}

// count returns how many events of a tenant are stored, and the subjects of some of them, chosen at random.
func (e *EventShares) count(ctx context.Context, tenant string) (count uint64, samples []string, err error) {
	filter := schemas.SubjectEvents + "." + tenant + ".>"
	if e.partitioned {
		filter = schemas.SubjectEvents + ".*." + tenant + ".>"
	}
	for seen, total := 0, 1; seen < total; {
		info, err := e.info(ctx, filter, seen)
		if err != nil {
			return 0, nil, fmt.Errorf("count the events of a tenant: %w", err)
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

// sampled returns samples of the subjects until now, the last of which holds stored of the count events: each event has
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

// sizeOf returns the size of an event of a subject: the first one behind a random sequence, or the last one.
func (e *EventShares) sizeOf(ctx context.Context, subject string, stream eventsStored) (uint64, error) {
	from := stream.first + rand.Uint64N(max(1, stream.last-stream.first+1))
	m, err := e.events.get(ctx, query{Next: subject, Sequence: from})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		m, err = e.events.get(ctx, query{Last: subject})
	}
	if err != nil {
		return 0, fmt.Errorf("read an event of a tenant: %w", err)
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

// eventsPage is the state of the stream, with a page of subjects.
type eventsPage struct {
	Error *jetstream.APIError `json:"error"`
	Total int                 `json:"total"` // subjects
	jetstream.StreamInfo
}

// info returns the state of the stream, and with a filter the events of a page of subjects. The library would read all
// pages.
func (e *EventShares) info(ctx context.Context, filter string, offset int) (*eventsPage, error) {
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return nil, err
	}
	invalid := checkOptional(checkFilter, filter)
	subject := "STREAM.INFO." + e.events.stream
	return once(ctx, guard{rights: e.events.rights}, invalid, to(subject), func(ctx context.Context) (*eventsPage, error) {
		answer, err := e.events.nc.RequestWithContext(ctx, e.events.api+subject, request)
		if err != nil {
			return nil, err
		}
		var page eventsPage
		if err := json.Unmarshal(answer.Data, &page); err != nil {
			return nil, err
		}
		if page.Error != nil {
			return nil, page.Error
		}
		return &page, nil
	})
}
