package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
)

// headerFence is where a stored value keeps the fence of its write. The value itself is as it was before there were fences:
// an older release reads it, and what an older release wrote has the fence 0.
const headerFence = "Hookturn-Fence"

// headerWriter is where a stored value keeps the id of the reply whose step wrote it.
const headerWriter = "Hookturn-Writer"

const (
	headerOperation = "KV-Operation"
	operationDelete = "DEL"
)

// fenced reads and writes the values of a bucket together with their fences.
type fenced struct {
	js     jetstream.JetStream
	stream jetstream.Stream // behind the bucket
	bucket string
}

// fencedValue is what a key holds. The zero value is that of a key that was never written.
type fencedValue struct {
	data     []byte // nil when there is none
	fence    int64
	writer   string
	members  string    // the marks of the members, of user details only; "": none
	stored   time.Time // by the clock of NATS; the zero time: unknown
	revision uint64
}

// clockSlack is how far the clock of Temporal may be ahead of that of NATS. A clock that is further ahead, and is corrected
// then, or left by a shard that moves, would keep every write from the stores until time has caught up.
const clockSlack = 10 * time.Second

// credible returns the fence of a value that was stored at a time, by the clock of NATS: a fence is the begin of a step, and
// cannot be later than what the step has stored. One that is counts as that time.
func credible(fence int64, stored time.Time) int64 {
	if stored.IsZero() || fence <= stored.Add(clockSlack).UnixNano() {
		return fence
	}
	return stored.UnixNano()
}

func (f fenced) get(ctx context.Context, key string) (fencedValue, error) {
	if err := natsclient.CheckKey(key); err != nil {
		return fencedValue{}, err
	}
	m, err := f.stream.GetLastMsgForSubject(ctx, f.subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fencedValue{}, nil
	}
	if err != nil {
		return fencedValue{}, err
	}
	v := fencedValue{
		writer: m.Header.Get(headerWriter), members: m.Header.Get(headerMembers), stored: m.Time, revision: m.Sequence,
	}
	fence, _ := strconv.ParseInt(m.Header.Get(headerFence), 10, 64)
	v.fence = credible(fence, m.Time)
	if !removed(m) {
		v.data = m.Data
		if v.data == nil {
			v.data = []byte{}
		}
	}
	return v, nil
}

// removed reports whether the latest message of a key is the marker of its removal.
func removed(m *jetstream.RawStreamMsg) bool { return natsclient.IsRemoved(m) }

// put stores a value over the revision that was read, nil data removes it; IsConflict reports that the key has changed
// since.
func (f fenced) put(ctx context.Context, key string, v fencedValue) error {
	if err := natsclient.CheckKey(key); err != nil {
		return err
	}
	m := nats.NewMsg(natsclient.KeySubject(f.js, f.bucket, key))
	m.Data = v.data
	if v.data == nil {
		m.Header.Set(headerOperation, operationDelete)
	}
	if v.fence != 0 {
		m.Header.Set(headerFence, strconv.FormatInt(v.fence, 10))
	}
	if v.writer != "" {
		m.Header.Set(headerWriter, v.writer)
	}
	if v.members != "" {
		m.Header.Set(headerMembers, v.members)
	}
	_, err := f.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(v.revision))
	return err
}

func (f fenced) subject(key string) string { return "$KV." + f.bucket + "." + key }

// older reports whether a write with a fence is older than one that is stored. A write without a fence never is.
func older(fence, stored int64) bool { return fence != 0 && fence < stored }

// change replaces what a key holds by what decide returns for it, when decide wants it written. It returns what the key
// holds then. When another process changes it in between, decide is called again, until ctx ends.
func (f fenced) change(
	ctx context.Context, key string, decide func(v fencedValue) (next fencedValue, write bool, err error),
) (held fencedValue, err error) {
	err = backoff.Retry(func() error {
		held, err = f.get(ctx, key)
		if err != nil {
			return backoff.Permanent(err)
		}
		next, write, err := decide(held)
		if err != nil {
			return backoff.Permanent(err)
		}
		if !write {
			return nil
		}
		next.revision = held.revision
		err = f.put(ctx, key, next)
		if err == nil {
			next.fence = credible(next.fence, time.Now()) // as it is read from now on
			held = next
		}
		if err == nil || natsclient.IsConflict(err) {
			return err
		}
		return backoff.Permanent(err)
	}, backoff.WithContext(retry.Backoff(5*time.Millisecond, 500*time.Millisecond), ctx))
	return held, err
}
