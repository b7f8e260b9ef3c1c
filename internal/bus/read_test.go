package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/schemas"
)

// TestReadStored_StreamWithoutDirectReads: streams of an earlier release are read too, from where a reader asks.
func TestReadStored_StreamWithoutDirectReads(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	letters := NewDeadLetters(js, streams)
	for n := range uint64(3) {
		require.NoError(t, letters.Write(testContext(t), failedEvent("shop", "c-1", []byte(fmt.Sprint(n)), nil, time.Unix(int64(n), 0)), fault.New(fault.UnknownBot, "because")))
	}
	for _, direct := range []bool{true, false} {
		config := streams.deadLetters.CachedInfo().Config
		config.AllowDirect = direct
		_, err := js.UpdateStream(testContext(t), config)
		require.NoError(t, err)
		for after, want := range []int{3, 2, 1, 0} {
			list, err := letters.List(testContext(t), DeadLetterFilter{After: uint64(after)})
			require.NoError(t, err)
			require.Len(t, list, want)
			list, err = letters.List(testContext(t), DeadLetterFilter{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, After: uint64(after)})
			require.NoError(t, err)
			require.Len(t, list, want)
		}
	}
}

func filesOf(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	stream, err := js.Stream(testContext(t), filesStream)
	require.NoError(t, err)
	return stream
}

// TestReaders_EndedContextLeavesNoConsumer: clients of the gateway connect and disconnect at any moment of a read. What they
// leave on the server is shared by all tenants.
func TestReaders_EndedContextLeavesNoConsumer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	replies, letters := NewReplies(streams), NewDeadLetters(js, streams)
	_, err := streams.files.PutBytes(testContext(t), "a/b/c", make([]byte, 1<<20))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		stream jetstream.Stream
		read   func(context.Context) error
	}{
		"list": {streams.deadLetters, func(ctx context.Context) error {
			_, err := letters.List(ctx, DeadLetterFilter{})
			return err
		}},
		"file": {filesOf(t, js), func(ctx context.Context) error {
			content, err := streams.files.Get(ctx, "a/b/c")
			if err == nil {
				_, _ = io.Copy(io.Discard, content)
				err = content.Close()
			}
			return err
		}},
		"follow": {streams.replies, func(ctx context.Context) error {
			return replies.Follow(ctx, Tail{From: 1}, nil, func(StoredReply) error { return nil })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for moment := range 100 {
				ctx, cancel := context.WithTimeout(testContext(t), time.Duration(moment)*20*time.Microsecond)
				_ = c.read(ctx) // it ends with its context or before
				cancel()
			}
			require.Eventually(t, func() bool {
				info, err := c.stream.Info(testContext(t))
				return err == nil && info.State.Consumers == 0
			}, soon, poll)
		})
	}
}

// TestReadStored_LongRead reads for longer than its caller waits for a server that does not answer: every message is a sign.
func TestReadStored_LongRead(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	const stored, each, within = 60, 50 * time.Millisecond, 2 * time.Second
	for i := range stored {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", i)
		_, err := r.Publish(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	complete := func() bool {
		ctx, stop := patience.Within(testContext(t), within)
		defer stop()
		read := 0
		err := ReadReplies(ctx, streams, Tail{}, func(StoredReply) (bool, error) {
			<-time.After(each)
			read++
			return true, nil
		})
		return err == nil && ctx.Err() == nil && read == stored
	}
	for tries := 1; !complete(); tries++ { // a machine that stops for as long ends a read, too
		require.Less(t, tries, 10)
	}
}

// TestReaders_CreateNoConsumer: the tools and downloads read without consumers, which some users of NATS may not create, and
// which a read that ends early would leave on the server.
func TestReaders_CreateNoConsumer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	created, err := js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>")
	require.NoError(t, err)
	_, err = streams.files.PutBytes(testContext(t), "a/b/c", make([]byte, 300<<10))
	require.NoError(t, err)
	_, err = NewReplies(streams).Publish(testContext(t), shopID(), aReply())
	require.NoError(t, err)
	content, err := streams.files.GetBytes(testContext(t), "a/b/c")
	require.NoError(t, err)
	require.Len(t, content, 300<<10)
	_, err = NewDeadLetters(js, streams).List(testContext(t), DeadLetterFilter{})
	require.NoError(t, err)
	require.NoError(t, ReadAudit(testContext(t), streams, AuditFilter{}, nil))
	require.NoError(t, streams.ListBucket(testContext(t), BucketPauses, nil))
	read, done := 0, errors.New("enough")
	require.NoError(t, ReadReplies(testContext(t), streams, Tail{}, func(StoredReply) (bool, error) { read++; return true, nil }))
	require.ErrorIs(t, Follow(testContext(t), js, Tail{From: 1}, nil, func(StoredReply) error { return done }), done)
	require.Equal(t, 1, read)
	require.NoError(t, js.Conn().Flush())
	count, _, err := created.Pending()
	require.NoError(t, err)
	for range count {
		m, err := created.NextMsg(soon)
		require.NoError(t, err)
		require.Contains(t, m.Subject, "."+schemas.StreamAudit+".", "but the server's own, which copies audit events")
	}
}
