package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Tail selects replies to read. Empty members match all.
type Tail struct {
	schemas.ConversationKey

	// Since is the time from which stored replies are read; the zero time = only new replies.
	Since time.Time
	// From is the sequence from which stored replies are read; 0 = by Since.
	From uint64
}

// StoredReply is one reply as stored in the stream.
type StoredReply struct {
	Sequence uint64
	Subject  string
	Time     time.Time
	Header   nats.Header
	Data     []byte
}

// ErrSetBack ends the reading of a stream whose sequences come again.
var ErrSetBack = errors.New("the stream of replies was created again or restored from a backup: read it from its begin")

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// followEvery is how often followStream looks for new messages, followBatch how many it reads at once.
const (
	followEvery = 100 * time.Millisecond
	followBatch = 64
)

// Follow calls each for the replies that a Tail selects, in stream order, until ctx ends or each returns an error. It calls
// ready when it will receive everything that is published from now on. The end of ctx is not an error. A connection with
// Upkeep ends with ErrSetBack when the stream is created again, or restored from a backup: a later sequence than its last
// one would be waited for.
//
// It needs no right but to read: Replies.Follow, with a consumer, has less delay and costs the server less.
func Follow(ctx context.Context, js jetstream.JetStream, t Tail, ready func(), each func(StoredReply) error) error {
	restored := upkeepOf(js).restoredChannel(schemas.StreamReplies)
	r, err := natsclient.OpenReader(ctx, js, schemas.StreamReplies)
	if err != nil {
		return fmt.Errorf("read replies: %w", err)
	}
	from := t.query()
	if t.From == 0 && t.Since.IsZero() {
		from.Sequence = r.Last + 1
	}
	if ready != nil {
		ready()
	}
	return followStream(ctx, r, from, "replies", restored, func(m *jetstream.RawStreamMsg) error {
		return each(storedReply(m))
	})
}

// followStream calls each for the messages of a query, in stream order and as they are stored, until ctx ends or each
// returns an error. The end of ctx is not an error. It ends with ErrSetBack when restored is closed; nil: it never is. An
// error that may pass is waited out; another one names what is read.
func followStream(
	ctx context.Context, r *natsclient.Reader, from natsclient.Query, what string, restored <-chan struct{},
	each func(*jetstream.RawStreamMsg) error,
) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		messages, err := r.Next(ctx, from, followBatch)
		switch {
		case isClosed(restored) && ctx.Err() == nil:
			return ErrSetBack
		case ctx.Err() != nil:
			return nil // the end that was asked for
		case err != nil && !natsclient.IsTransient(err):
			return fmt.Errorf("read %s: %w", what, err)
		}
		for _, m := range messages {
			if err := each(m); err != nil {
				return err
			}
			from = from.Behind(m)
		}
		if len(messages) > 0 {
			continue // there may be more
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		case <-restored:
		}
	}
}

// query returns the query for the stored replies of a Tail.
func (t Tail) query() natsclient.Query {
	switch {
	case t.From > 0:
		return natsclient.Query{Next: t.subject(), Sequence: t.From}
	case !t.Since.IsZero():
		return natsclient.Query{Next: t.subject(), Since: &t.Since}
	}
	return natsclient.Query{Next: t.subject(), Sequence: 1}
}

func storedReply(m *jetstream.RawStreamMsg) StoredReply {
	return StoredReply{m.Sequence, m.Subject, m.Time, m.Header, m.Data}
}

// ReadReplies calls each for the stored replies that a Tail selects, oldest first, up to the latest one at the call, until
// each returns false.
func ReadReplies(ctx context.Context, s Streams, t Tail, each func(StoredReply) (more bool, err error)) error {
	err := natsclient.Read(ctx, s.js, schemas.StreamReplies, t.query(), func(m *jetstream.RawStreamMsg) (bool, error) {
		return each(storedReply(m))
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamReplies, err)
	}
	return nil
}

// Follow reads replies by the rules of the function Follow, with a consumer.
func (r *Replies) Follow(ctx context.Context, t Tail, ready func(), each func(StoredReply) error) error {
	return natsclient.Consume(ctx, r.streams.js, schemas.StreamReplies, func(ctx context.Context) error {
		return follow(ctx, r.streams.js, t, ready, each)
	})
}

// consumer is the configuration of a consumer that reads what t selects.
func (t Tail) consumer() jetstream.OrderedConsumerConfig {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{t.subject()},
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	}
	switch {
	case t.From > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, t.From
	case !t.Since.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &t.Since
	}
	return config
}

// onRestore calls stop when restored is closed, until the caller calls end.
func onRestore(restored <-chan struct{}, stop func()) (end func()) {
	ended := make(chan struct{})
	go func() {
		select {
		case <-restored:
			stop()
		case <-ended:
		}
	}()
	return func() { close(ended) }
}

func follow(ctx context.Context, js jetstream.JetStream, t Tail, ready func(), each func(StoredReply) error) error {
	restored := upkeepOf(js).restoredChannel(schemas.StreamReplies)
	reader, err := createReader(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return js.OrderedConsumer(ctx, schemas.StreamReplies, t.consumer())
	})
	if err != nil {
		return fmt.Errorf("read replies: %w", err)
	}
	defer func() { // the library deletes a consumer only when it replaces it
		deleteReader(ctx, func(ctx context.Context, name string) error {
			return js.DeleteConsumer(ctx, schemas.StreamReplies, name)
		}, reader.CachedInfo().Name)
	}()
	messages, err := reader.Messages()
	if err != nil {
		return fmt.Errorf("read replies: %w", err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	defer onRestore(restored, messages.Stop)()
	if ready != nil {
		ready()
	}
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() == nil && isClosed(restored):
			return ErrSetBack
		case ctx.Err() != nil || errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return nil
		}
		if err != nil {
			return fmt.Errorf("read replies: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read replies: %w", err)
		}
		reply := StoredReply{meta.Sequence.Stream, m.Subject(), meta.Timestamp, m.Headers(), m.Data()}
		if err := each(reply); err != nil {
			return err
		}
	}
}

// subject returns the subject filter of the replies; an empty token matches all.
func (t Tail) subject() string {
	return schemas.SubjectReplies + "." + orAny(t.Tenant) + "." + orAny(t.Bot) + "." + orAnyConversation(t.Conversation)
}

func orAny(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

func orAnyConversation(id string) string {
	if id == "" {
		return "*"
	}
	return schemas.ConversationToken(id)
}

// createReader creates the consumer of one read. The end of ctx does not interrupt the request, which is bounded by
// natsclient.APITimeout: nothing would delete a consumer that the server creates afterwards until its InactiveThreshold,
// and a client that connects and disconnects would fill the server.
func createReader(
	ctx context.Context, create func(context.Context) (jetstream.Consumer, error),
) (jetstream.Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), natsclient.APITimeout)
	defer cancel()
	return create(ctx)
}

// deleteReader deletes the consumer of one read, also when ctx has ended. The server deletes it after its InactiveThreshold
// when this request fails.
func deleteReader(ctx context.Context, remove func(ctx context.Context, name string) error, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), natsclient.APITimeout)
	defer cancel()
	_ = remove(ctx, name)
}
