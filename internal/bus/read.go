package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/schemas"
)

const readBatch = 256

// readStored calls each for the messages of a stream that a consumer selects, oldest first, up to those that are stored
// when it begins, until each returns false.
func readStored(
	ctx context.Context, stream jetstream.Stream, from jetstream.ConsumerConfig,
	each func(m jetstream.Msg, meta *jetstream.MsgMetadata) (more bool, err error),
) error {
	from.AckPolicy, from.MemoryStorage, from.InactiveThreshold = jetstream.AckNonePolicy, true, time.Minute
	reader, err := createReader(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return stream.CreateConsumer(ctx, from)
	})
	if err != nil {
		return err
	}
	defer deleteReader(ctx, stream.DeleteConsumer, reader.CachedInfo().Name)
	for left := reader.CachedInfo().NumPending; left > 0; {
		got, more, err := readSome(ctx, reader, &left, each)
		if err != nil || !more {
			return err
		}
		if got > 0 {
			continue
		}
		// The messages have expired, or the server takes its time.
		info, err := reader.Info(ctx)
		if err != nil {
			return err
		}
		left = info.NumPending
	}
	return nil
}

// createReader creates the consumer of one read. The end of ctx does not interrupt the request, which is bounded by
// apiTimeout: nothing would delete a consumer that the server creates afterwards until its InactiveThreshold, and a client
// that connects and disconnects would fill the server.
func createReader(
	ctx context.Context, create func(context.Context) (jetstream.Consumer, error),
) (jetstream.Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	return create(ctx)
}

// deleteReader deletes the consumer of one read, also when ctx has ended. The server deletes it after its InactiveThreshold
// when this request fails.
func deleteReader(ctx context.Context, remove func(ctx context.Context, name string) error, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	_ = remove(ctx, name)
}

// readSome calls each for as many of the messages that are left as the server sends within apiTimeout.
func readSome(
	ctx context.Context, reader jetstream.Consumer, left *uint64,
	each func(m jetstream.Msg, meta *jetstream.MsgMetadata) (more bool, err error),
) (got int, more bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	batch, err := reader.Fetch(int(min(*left, readBatch)), jetstream.FetchContext(bounded))
	if err != nil {
		return 0, false, err
	}
	for m := range batch.Messages() {
		got++
		patience.Renew(ctx)
		meta, err := m.Metadata()
		if err != nil {
			return got, false, err
		}
		*left = meta.NumPending
		if more, err := each(m, meta); err != nil || !more {
			return got, false, err
		}
	}
	if err := batch.Error(); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return got, false, err
	}
	return got, true, nil
}

// ReadStored calls each for the stored messages of a stream under a filter, oldest first, up to the latest one at the call.
// The stream must not be a work queue: it would not allow the reader.
func ReadStored(
	ctx context.Context, stream jetstream.Stream, filter string, each func(*jetstream.RawStreamMsg) error,
) error {
	from := jetstream.ConsumerConfig{FilterSubject: filter, DeliverPolicy: jetstream.DeliverAllPolicy}
	return readStored(ctx, stream, from, func(m jetstream.Msg, meta *jetstream.MsgMetadata) (bool, error) {
		return true, each(&jetstream.RawStreamMsg{
			Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: m.Headers(), Data: m.Data(), Time: meta.Timestamp,
		})
	})
}

// ReadReplies calls each for the stored replies that a Tail selects, oldest first, up to the latest one at the call, until
// each returns false.
func ReadReplies(ctx context.Context, s Streams, t Tail, each func(StoredReply) (more bool, err error)) error {
	from := jetstream.ConsumerConfig{FilterSubject: t.subject(), DeliverPolicy: jetstream.DeliverAllPolicy}
	if !t.Since.IsZero() {
		from.DeliverPolicy, from.OptStartTime = jetstream.DeliverByStartTimePolicy, &t.Since
	}
	err := readStored(ctx, s.replies, from, func(m jetstream.Msg, meta *jetstream.MsgMetadata) (bool, error) {
		return each(StoredReply{meta.Sequence.Stream, m.Subject(), meta.Timestamp, m.Headers(), m.Data()})
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamReplies, err)
	}
	return nil
}
