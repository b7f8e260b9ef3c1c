package quota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
)

// countTenant estimates what a tenant has in the stream: its messages are counted, and their size is that of samples of
// them. The average of all messages would let a tenant with few large ones hold the others to their number. A count that
// does not end in time is a lower bound: the tenant has so many conversations that the server needs longer to list them.
// Files are few: their sizes are read.
func (q *Quota) countTenant(
	ctx context.Context, tenant string, of *ofTenant, state streamStored, before tenantStored,
) (tenantStored, error) {
	q.mu.Lock()
	ended := of.ended
	q.mu.Unlock()
	if q.files != nil {
		bytes, err := q.files(ctx, tenant)
		if err != nil {
			return before, fmt.Errorf("count the files of a tenant: %w", err)
		}
		return tenantStored{bytes: bytes, ended: ended}, nil
	}
	counting, cancel := context.WithTimeout(ctx, q.countFor)
	count, samples, err := q.count(counting, tenant)
	partly := count > 0 && ctx.Err() == nil
	cancel()
	if err != nil && !partly {
		return before, err
	}
	if count*q.largest < state.most/2 {
		return tenantStored{sizes: before.sizes, ended: ended}, nil
	}
	sizes := before.sizes
	for _, subject := range samples {
		size, err := q.sizeOf(ctx, subject, state)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // it was handled in between
		case err != nil && len(sizes) == 0:
			return before, err
		case err != nil: // those of before are as good
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
func sizeOfFiles(ctx context.Context, js jetstream.JetStream, bucket, tenant string) (all uint64, err error) {
	r, err := natsclient.NewReader(js, "OBJ_"+bucket)
	if err != nil {
		return 0, err
	}
	from := natsclient.Query{Next: "$O." + bucket + ".M.>", Sequence: 1}
	err = r.Read(ctx, from, func(m *jetstream.RawStreamMsg) (bool, error) {
		var info jetstream.ObjectInfo
		if json.Unmarshal(m.Data, &info) == nil && strings.HasPrefix(info.Name, tenant+"/") {
			all += info.Size + uint64(len(m.Data))
		}
		return true, nil
	})
	return all, err
}

// count returns how many messages of a tenant are stored, and the subjects of some of them, chosen at random; with an error,
// those that were counted before it.
func (q *Quota) count(ctx context.Context, tenant string) (count uint64, samples []string, err error) {
	filter := q.root + tenant + ".>"
	for seen, total := 0, 1; seen < total; {
		info, err := q.stream.Info(ctx, filter, seen)
		if err != nil {
			return count, samples, fmt.Errorf("count the messages of a tenant in stream %s: %w", q.stream.Stream(), err)
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
func (q *Quota) sizeOf(ctx context.Context, subject string, stream streamStored) (uint64, error) {
	from := stream.first + rand.Uint64N(max(1, stream.last-stream.first+1))
	m, err := q.stream.Get(ctx, natsclient.Query{Next: subject, Sequence: from})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		m, err = q.stream.Get(ctx, natsclient.Query{Last: subject})
	}
	if err != nil {
		return 0, fmt.Errorf("read a message of a tenant in stream %s: %w", q.stream.Stream(), err)
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
