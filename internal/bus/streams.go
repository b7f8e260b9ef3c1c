package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// The stream of the background queues.
const (
	// StreamQueues is the stream that keeps the background queues.
	StreamQueues = "HOOKTURN_QUEUES"
	// SubjectQueues is the first part of the subjects of StreamQueues; tenant, bot and step follow.
	SubjectQueues = "hookturn.queues"
	// QueueMax is how many entries one queue holds (contract, section 4.2).
	QueueMax = 10_000

	// WaitingMax is how many events of one conversation the event stream holds.
	WaitingMax = 10_000

	queuesDedupe = time.Hour
)

const (
	defaultPartitions   = 8
	defaultMaxBytes     = 256 << 20
	defaultStarterTTL   = 6 * time.Second
	eventsDedupe        = 10 * time.Minute
	repliesDedupe       = 15 * time.Minute
	repliesMaxAge       = 72 * time.Hour
	deadLettersDedupe   = time.Hour
	deadLettersMaxAge   = 14 * 24 * time.Hour
	auditDedupe         = 10 * time.Minute
	auditMaxAge         = 365 * 24 * time.Hour
	headerRoom          = 64 << 10
	deadLetterHeaderMax = 4 << 10
)

// StreamOptions are the options of missing streams. Existing streams keep their settings; Resize changes sizes.
type StreamOptions struct {
	Partitions int              // of the event stream; 8 when 0
	Sizes      map[string]int64 // bytes of streams and buckets, by the names of Sizes; its default when absent
	Replicas   int              // of every stream and bucket; 1 when 0
	StarterTTL time.Duration    // after this time without an announcement a starter counts as dead; 6 s when 0

	seen map[string]uint64 // latest sequences of streams that this process has seen, see firstSeq
}

// Streams are the streams and buckets of one JetStream account, as Setup opened or created them.
type Streams struct {
	Partitions int // of the event stream, when it was opened

	js jetstream.JetStream

	events, replies, deadLetters, queues jetstream.Stream

	buckets     map[string]jetstream.KeyValue
	logs        map[string]jetstream.Stream // behind buckets
	files       jetstream.ObjectStore
	partitioned bool // subjects are stored with a partition token
	starterTTL  time.Duration
	up          *upkeep // nil when the connection has none
}

// Setup creates the missing streams and buckets, and rejects existing ones that would lose data: the error names the
// stream, the setting and what to do. Several processes may call it at the same time, and repeatedly. On a connection of
// Connect, streams that vanish later are created again with the same options.
func Setup(ctx context.Context, js jetstream.JetStream, o StreamOptions) (Streams, error) {
	up := upkeepOf(js)
	o.seen = up.seenSequences()
	s, err := setUp(ctx, js, o)
	if err != nil {
		return Streams{}, err
	}
	s.up = up
	return s, s.up.configure(ctx, o)
}

func setUp(ctx context.Context, js jetstream.JetStream, o StreamOptions) (Streams, error) {
	o = o.withDefaults()
	s := Streams{js: js}
	var err error
	if s.events, err = ensureStream(ctx, js, o, eventsConfig(o, js.Conn().MaxPayload())); err != nil {
		return Streams{}, err
	}
	if s.Partitions, s.partitioned, err = partitionsOf(s.events.CachedInfo().Config); err != nil {
		return Streams{}, err
	}
	if s.replies, err = ensureStream(ctx, js, o, repliesConfig(o)); err != nil {
		return Streams{}, err
	}
	if s.deadLetters, err = ensureStream(ctx, js, o, deadLettersConfig(o)); err != nil {
		return Streams{}, err
	}
	if s.queues, err = ensureStream(ctx, js, o, queuesConfig(o)); err != nil {
		return Streams{}, err
	}
	if err := EnsureAudit(ctx, js, o); err != nil {
		return Streams{}, err
	}
	if err := s.openBuckets(ctx, js, o); err != nil {
		return Streams{}, err
	}
	s.files, err = ensureFiles(ctx, js, o)
	return s, err
}

func (o StreamOptions) withDefaults() StreamOptions {
	if o.Partitions <= 0 {
		o.Partitions = defaultPartitions
	}
	if o.Replicas <= 0 {
		o.Replicas = 1
	}
	if o.StarterTTL <= 0 {
		o.StarterTTL = defaultStarterTTL
	}
	return o
}

func eventsConfig(o StreamOptions, maxPayload int64) jetstream.StreamConfig {
	// A dead letter is the event with more headers, so an event leaves room for them in the largest message of the server.
	largest := min(int64(schemas.MessageMax+headerRoom), maxPayload-deadLetterHeaderMax)
	return withWaitingMax(jetstream.StreamConfig{
		Name:             schemas.StreamEvents,
		Description:      "events of bot engines, waiting for a starter",
		Subjects:         []string{schemas.SubjectEvents + ".*.*.*"},
		SubjectTransform: partitionTransform(o.Partitions),
		Retention:        jetstream.WorkQueuePolicy,
		Storage:          jetstream.FileStorage,
		Discard:          jetstream.DiscardNew,
		Duplicates:       eventsDedupe,
		MaxBytes:         o.sizeOf(schemas.StreamEvents),
		MaxMsgSize:       int32(largest),
		AllowMsgTTL:      true,
		Replicas:         o.Replicas,
	})
}

// withWaitingMax returns the configuration of the event stream with the bound of one conversation, so that one that its
// engine cannot stop does not fill the stream. On a stream that holds more the server would drop the oldest: only a stream
// that is empty may be changed so.
func withWaitingMax(c jetstream.StreamConfig) jetstream.StreamConfig {
	if c.MaxMsgsPerSubject <= 0 && c.Discard == jetstream.DiscardNew {
		c.MaxMsgsPerSubject, c.DiscardNewPerSubject = WaitingMax, true
	}
	return c
}

func repliesConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        schemas.StreamReplies,
		Description: "replies to bot engines",
		Subjects:    []string{schemas.SubjectReplies + ".*.*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Duplicates:  repliesDedupe,
		MaxAge:      repliesMaxAge,
		MaxBytes:    o.sizeOf(schemas.StreamReplies),
		AllowDirect: true, // workers look for the reply of a step that they repeat
		Replicas:    o.Replicas,
	}
}

func deadLettersConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        schemas.StreamDeadLetters,
		Description: "events that could not be handled, with the reason",
		Subjects:    []string{schemas.SubjectDeadLetters + ".*.*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Duplicates:  deadLettersDedupe,
		MaxAge:      deadLettersMaxAge,
		MaxBytes:    o.sizeOf(schemas.StreamDeadLetters),
		AllowDirect: true, // many messages a request
		Replicas:    o.Replicas,
	}
}

// queuesConfig does not allow direct reads: a replica that lags could return a head that was removed.
func queuesConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 StreamQueues,
		Description:          "steps that wait in the background",
		Subjects:             []string{SubjectQueues + ".*.*.*"},
		Retention:            jetstream.LimitsPolicy,
		Storage:              jetstream.FileStorage,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    QueueMax,
		MaxBytes:             o.sizeOf(StreamQueues),
		Duplicates:           queuesDedupe,
		Replicas:             o.Replicas,
	}
}

// ensureStream opens the stream, or creates it with the configuration want. When another process creates it at the same
// time, perhaps with another first sequence, ensureStream opens and checks that one.
func ensureStream(
	ctx context.Context, js jetstream.JetStream, o StreamOptions, want jetstream.StreamConfig,
) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		want.FirstSeq = o.firstSeq(want.Name)
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open or create stream %s: %w", want.Name, maybeDenied(tooSmall(ctx, js, want, err)))
	}
	return stream, checkStream(stream.CachedInfo().Config, want)
}

// maybeDenied adds what to do to the error of a creation that the user is not permitted to request.
func maybeDenied(err error) error {
	if natsclient.IsDenied(err) {
		return fmt.Errorf("run \"starter setup\" once, as a user that may create it: %w", err)
	}
	return err
}

// EventsStored is what the stream of events holds.
type EventsStored struct {
	Events uint64
	Bytes  int64
	Most   int64 // bytes that it may hold; not positive: no bound
}

// EventsStored reads what the stream of events holds. While the stream is closed for a change of its partitions, its bound
// is that of before.
func (s Streams) EventsStored(ctx context.Context) (EventsStored, error) {
	info, err := s.events.Info(ctx)
	if err != nil {
		return EventsStored{}, fmt.Errorf("read the state of stream %s: %w", schemas.StreamEvents, err)
	}
	return EventsStored{
		Events: info.State.Msgs, Bytes: int64(info.State.Bytes), Most: reopened(info.Config).MaxBytes,
	}, nil
}
