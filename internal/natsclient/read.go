package natsclient

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/hookturn/hookturn/internal/patience"
)

// Stored messages are read without a consumer. The creator of a consumer chooses where it delivers to, so that the users of
// NATS who only read cannot be allowed to create one; and a read that is interrupted leaves nothing on the server.

// The first request of a read asks for few messages, because many readers want few; each later one for four times as many,
// because the server counts what is left with each request. The bytes bound what is held in memory.
const (
	firstBatch   = 64
	largestBatch = 1 << 14
	batchBytes   = 4 << 20
)

// Reader reads the stored messages of one stream.
type Reader struct {
	js     jetstream.JetStream // for the prefix of its API
	leader Leader
	direct bool // the stream allows direct reads, which have many messages a request
	// Last is the sequence of the latest message that it reads.
	Last uint64
	// Most is how many messages it reads.
	Most int
}

// OpenReader returns a Reader of a stream, up to the latest message that is stored. In a bucket's stream a value that is
// replaced meanwhile moves behind all others, so that nothing bounds it.
func OpenReader(ctx context.Context, js jetstream.JetStream, stream string) (*Reader, error) {
	open := func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) }
	opened, err := again(UpkeepOf(js), open)(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", stream, err)
	}
	info := opened.CachedInfo()
	r, err := NewReader(js, stream)
	if err != nil {
		return nil, err
	}
	r.direct = info.Config.AllowDirect
	if r.Last = info.State.LastSeq; strings.HasPrefix(stream, "KV_") {
		r.Last = math.MaxUint64
	}
	return r, nil
}

// NewReader returns a Reader of a stream, without an end. Whether the stream allows direct reads shows at the first one.
func NewReader(js jetstream.JetStream, stream string) (*Reader, error) {
	// The library for direct reads does not know domains, but the prefix of one.
	prefixed, err := jetstream.NewWithAPIPrefix(js.Conn(), strings.TrimSuffix(apiPrefix(js), "."))
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", stream, err)
	}
	return &Reader{
		js: prefixed, leader: LeaderOf(js, stream), direct: true, Last: math.MaxUint64, Most: math.MaxInt,
	}, nil
}

// Read calls each for the messages of a stream that a query selects, oldest first, up to those that are stored
// when it begins, until each returns false.
func Read(
	ctx context.Context, js jetstream.JetStream, stream string, from Query,
	each func(m *jetstream.RawStreamMsg) (more bool, err error),
) error {
	r, err := OpenReader(ctx, js, stream)
	if err != nil {
		return err
	}
	return r.Read(ctx, from, each)
}

// Read calls each for the messages that a query selects, oldest first, until each returns false.
func (r *Reader) Read(
	ctx context.Context, from Query, each func(m *jetstream.RawStreamMsg) (more bool, err error),
) error {
	left := r.Most
	for size := firstBatch; left > 0; size = min(4*size, largestBatch) {
		messages, err := r.Next(ctx, from, min(size, left))
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, m := range messages {
			if m.Sequence > r.Last {
				return nil
			}
			patience.Renew(ctx)
			if err := ctx.Err(); err != nil {
				return err
			}
			if more, err := each(m); err != nil || !more {
				return err
			}
		}
		from, left = from.Behind(messages[len(messages)-1]), left-len(messages)
	}
	return nil
}

// Behind returns the query for the messages behind m.
func (q Query) Behind(m *jetstream.RawStreamMsg) Query {
	return Query{Next: q.Next, Sequence: m.Sequence + 1}
}

// Next returns at most size of the messages that a query selects, and none when there are none: the leader of the stream
// decides that, because another replica may lag.
func (r *Reader) Next(ctx context.Context, q Query, size int) ([]*jetstream.RawStreamMsg, error) {
	if r.direct {
		messages, err := r.batch(ctx, q, size)
		r.direct = !errors.Is(err, nats.ErrNoResponders)
		if r.direct && err != nil || len(messages) > 0 {
			return messages, err
		}
	}
	m, err := r.leader.Get(ctx, q)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*jetstream.RawStreamMsg{m}, nil
}

// batch returns the first messages that a query selects, from any replica. What is lost on the way ends the batch,
// within APITimeout, and so does a message whose headers cannot be read: the server describes a message in them. The leader
// has it.
func (r *Reader) batch(ctx context.Context, q Query, size int) ([]*jetstream.RawStreamMsg, error) {
	opts := []jetstreamext.GetBatchOpt{jetstreamext.GetBatchMaxBytes(batchBytes)}
	if !selectsAll(q.Next) {
		opts = append(opts, jetstreamext.GetBatchSubject(q.Next))
	}
	switch {
	case q.Since != nil:
		opts = append(opts, jetstreamext.GetBatchStartTime(*q.Since))
	case q.Sequence > 0:
		opts = append(opts, jetstreamext.GetBatchSeq(q.Sequence))
	}
	stream, invalid := r.leader.stream, checkFilter(q.Next)
	return unbounded(ctx, guard{rights: r.leader.rights}, invalid, to("DIRECT.GET."+stream),
		func(ctx context.Context) ([]*jetstream.RawStreamMsg, error) {
			bounded, cancel := context.WithTimeout(ctx, APITimeout)
			defer cancel()
			received, err := jetstreamext.GetBatch(bounded, r.js, stream, size, opts...)
			if err != nil {
				return nil, err
			}
			var messages []*jetstream.RawStreamMsg
			before := "0" // sequence of the message before, in this batch
			for m, err := range received {
				switch {
				case errors.Is(err, jetstreamext.ErrNoMessages):
					return nil, nil
				case errors.Is(err, jetstreamext.ErrInvalidResponse), errors.Is(err, jetstreamext.ErrBatchUnsupported):
					return messages, nil
				case err != nil:
					return nil, err
				case m.Header.Get("Nats-Last-Sequence") != before:
					return messages, nil
				}
				before = strconv.FormatUint(m.Sequence, 10)
				withoutDirect(m)
				messages = append(messages, m)
			}
			return messages, ctx.Err()
		})
}

// selectsAll reports whether a filter selects each message of its stream, whose subjects have a root of two tokens and
// three more. With such a filter the server would count the messages of each subject.
func selectsAll(filter string) bool {
	return filter == ">" || strings.Count(filter, ".") == 4 && strings.HasSuffix(filter, ".*.*.*")
}

// withoutDirect removes the headers by which the server describes a message that it reads directly.
func withoutDirect(m *jetstream.RawStreamMsg) {
	for _, name := range []string{
		jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer,
		jetstream.LastSequenceHeader, "Nats-Num-Pending",
	} {
		delete(m.Header, name)
	}
}

// ReadStored calls each for the stored messages of a stream under a filter, oldest first, up to the latest one at the call.
func ReadStored(
	ctx context.Context, js jetstream.JetStream, stream, filter string, each func(*jetstream.RawStreamMsg) error,
) error {
	return Read(ctx, js, stream, Query{Next: filter, Sequence: 1}, func(m *jetstream.RawStreamMsg) (bool, error) {
		return true, each(m)
	})
}

// IsRemoved reports whether a message of a bucket's stream marks the end of a key.
func IsRemoved(m *jetstream.RawStreamMsg) bool {
	return m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != ""
}
