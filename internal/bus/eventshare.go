package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// shareFor is how long a count of stored events is used.
	shareFor = 2 * time.Second
	// shareTimeout bounds a count, for which other requests wait.
	shareTimeout = time.Second
)

// EventShares finds the tenants whose waiting events fill their share of the event stream, so that the rest of it stays
// free for the others. It is safe for concurrent use.
type EventShares struct {
	stream      jetstream.Stream
	partitioned bool

	mu      sync.Mutex
	all     eventsStored
	tenants map[string]bool
}

// eventsStored is what the stream holds.
type eventsStored struct {
	exceeded bool   // all together fill a share, so that one tenant may
	average  uint64 // bytes of an event
	most     uint64 // bytes of the share
	until    time.Time
}

// NewEventShares returns a new EventShares on an account's streams.
func NewEventShares(s Streams) *EventShares {
	return &EventShares{stream: s.events, partitioned: s.partitioned, tenants: map[string]bool{}}
}

// Exceeded reports whether a tenant's stored events fill its share. Bytes are estimated by the average event. While the
// stream is less than half full, which one request every two seconds shows, the tenant is not asked for. With an error,
// which is returned once in that time, the share is unknown and not exceeded.
func (e *EventShares) Exceeded(ctx context.Context, tenant string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if now.After(e.all.until) {
		e.all = eventsStored{until: now.Add(shareFor)}
		info, err := e.stream.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("read the state of stream %s: %w", schemas.StreamEvents, err)
		}
		if info.Config.MaxBytes > 0 && info.State.Msgs > 0 {
			e.all.most = uint64(info.Config.MaxBytes) / 2 // half of it, as of every shared pool
			e.all.average = info.State.Bytes / info.State.Msgs
			e.all.exceeded = info.State.Bytes >= e.all.most
		}
		clear(e.tenants)
	}
	if !e.all.exceeded {
		return false, nil
	}
	if exceeded, known := e.tenants[tenant]; known {
		return exceeded, nil
	}
	count, err := e.count(ctx, tenant)
	exceeded := err == nil && count*e.all.average >= e.all.most
	e.tenants[tenant] = exceeded
	return exceeded, err
}

// count returns how many events of a tenant are stored.
func (e *EventShares) count(ctx context.Context, tenant string) (count uint64, err error) {
	filter := schemas.SubjectEvents + "." + tenant + ".>"
	if e.partitioned {
		filter = schemas.SubjectEvents + ".*." + tenant + ".>"
	}
	info, err := e.stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return 0, fmt.Errorf("count the events of a tenant: %w", err)
	}
	for _, stored := range info.State.Subjects {
		count += stored
	}
	return count, nil
}
