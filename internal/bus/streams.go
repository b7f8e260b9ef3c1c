package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// Key-value buckets of hookturn.
const (
	// BucketUsers keeps user_details, which outlive conversations.
	BucketUsers = "HOOKTURN_USERS"
	// BucketStarters is where starters announce themselves and claim partitions.
	BucketStarters = "HOOKTURN_STARTERS"
	// BucketEndpoints is where workers tell each other which endpoints must be left alone.
	BucketEndpoints = "HOOKTURN_ENDPOINTS"
	// BucketKeys keeps the keys that all processes share. Whoever can read it can make callback addresses.
	BucketKeys = "HOOKTURN_KEYS"
	// BucketChats keeps which conversation a chat of a TwoWay router belongs to.
	BucketChats = "HOOKTURN_CHATS"
	// BucketClaims is where gateways agree on which of them passes a notice on.
	BucketClaims = "HOOKTURN_CLAIMS"
	// BucketPosted keeps the content of events that came over HTTP, by identity and id.
	BucketPosted = "HOOKTURN_POSTED"
	// BucketChannels keeps the integration channels of the administration. Of their tokens it has hashes only.
	BucketChannels = "HOOKTURN_CHANNELS"
)

const (
	defaultPartitions   = 8
	defaultMaxBytes     = 1 << 30
	defaultStarterTTL   = 6 * time.Second
	eventsDedupe        = 10 * time.Minute
	repliesDedupe       = 15 * time.Minute
	repliesMaxAge       = 72 * time.Hour
	deadLettersDedupe   = time.Hour
	deadLettersMaxAge   = 14 * 24 * time.Hour
	endpointsTTL        = time.Hour
	chatsTTL            = 30 * 24 * time.Hour
	claimsTTL           = 2 * time.Minute
	headerRoom          = 64 << 10
	deadLetterHeaderMax = 4 << 10
)

// StreamOptions say how streams that are missing are made. Streams that exist keep their settings.
type StreamOptions struct {
	Partitions int           // of the event stream; 8 when 0
	MaxBytes   int64         // of the event stream, which refuses new events when full; 1 GiB when 0
	Replicas   int           // of every stream and bucket; 1 when 0
	StarterTTL time.Duration // after this time without a sign of life a starter counts as gone; 6 s when 0
	// RefuseTTL makes the server refuse events with a Nats-TTL header. Without it the server accepts them, and removes an
	// event that nobody has read in time without a trace.
	RefuseTTL bool
}

// Streams are the streams and buckets of one JetStream account, as Setup found or made them.
type Streams struct {
	Partitions int // of the event stream

	events, replies, deadLetters, queues, starterLog, usersLog, chatsLog jetstream.Stream
	users, starters, endpoints, keys, chats, claims, channels, posted    jetstream.KeyValue
	files                                                                jetstream.ObjectStore
	partitioned                                                          bool // subjects are stored with a partition token
	starterTTL                                                           time.Duration
	up                                                                   *upkeep // nil when the connection has none
}

// Setup creates the streams and buckets that are missing, and refuses existing ones that would lose data: the error
// says which stream, which setting and what to do. It may be called any number of times, by several processes at once.
// On a connection that Connect has made, what vanishes later is created again by the same options.
func Setup(ctx context.Context, js jetstream.JetStream, o StreamOptions) (Streams, error) {
	s, err := setUp(ctx, js, o)
	if err != nil {
		return Streams{}, err
	}
	s.up = upkeepOf(js)
	return s, s.up.configure(ctx, o)
}

func setUp(ctx context.Context, js jetstream.JetStream, o StreamOptions) (Streams, error) {
	o = o.withDefaults()
	var s Streams
	var err error
	if s.events, err = ensureStream(ctx, js, eventsConfig(o, js.Conn().MaxPayload())); err != nil {
		return Streams{}, err
	}
	if s.Partitions, s.partitioned, err = partitionsOf(s.events.CachedInfo().Config); err != nil {
		return Streams{}, err
	}
	if s.replies, err = ensureStream(ctx, js, repliesConfig(o)); err != nil {
		return Streams{}, err
	}
	if s.deadLetters, err = ensureStream(ctx, js, deadLettersConfig(o)); err != nil {
		return Streams{}, err
	}
	if s.queues, err = ensureStream(ctx, js, queuesConfig(o)); err != nil {
		return Streams{}, err
	}
	for _, b := range s.buckets(o) {
		b.want.History, b.want.Storage, b.want.Replicas = 1, jetstream.FileStorage, o.Replicas
		if *b.into, err = ensureBucket(ctx, js, b.want); err != nil {
			return Streams{}, err
		}
	}
	if s.files, err = ensureFiles(ctx, js, o.Replicas); err != nil {
		return Streams{}, err
	}
	for _, open := range []struct {
		into   *jetstream.Stream
		bucket string
	}{{&s.usersLog, BucketUsers}, {&s.chatsLog, BucketChats}} {
		if *open.into, err = js.Stream(ctx, "KV_"+open.bucket); err != nil {
			return Streams{}, fmt.Errorf("open bucket %s: %w", open.bucket, err)
		}
	}
	return s, s.openStarterLog(ctx, js)
}

// bucket is a key-value bucket as it must be, and where it goes.
type bucket struct {
	into *jetstream.KeyValue
	want jetstream.KeyValueConfig
}

func (s *Streams) buckets(o StreamOptions) []bucket {
	return []bucket{
		{&s.users, jetstream.KeyValueConfig{Bucket: BucketUsers, Description: "user_details by tenant and user"}},
		{&s.starters, jetstream.KeyValueConfig{
			Bucket: BucketStarters, Description: "live starters and the partitions they hold", TTL: o.StarterTTL,
		}},
		{&s.endpoints, jetstream.KeyValueConfig{
			Bucket: BucketEndpoints, Description: "endpoints that must be left alone for now", TTL: endpointsTTL,
		}},
		{&s.keys, jetstream.KeyValueConfig{Bucket: BucketKeys, Description: "keys that all processes share"}},
		{&s.chats, jetstream.KeyValueConfig{
			Bucket: BucketChats, Description: "conversations of TwoWay chats", TTL: chatsTTL,
		}},
		{&s.claims, jetstream.KeyValueConfig{
			Bucket: BucketClaims, Description: "notices that a gateway passes on", TTL: claimsTTL,
		}},
		{&s.posted, jetstream.KeyValueConfig{
			Bucket: BucketPosted, Description: "content of events that came over HTTP", TTL: eventsDedupe,
		}},
		{&s.channels, jetstream.KeyValueConfig{Bucket: BucketChannels, Description: "channels of the administration"}},
	}
}

// openStarterLog opens the stream behind the starters' bucket: one request to it lists every key, and a key is removed
// from it without leaving a marker.
func (s *Streams) openStarterLog(ctx context.Context, js jetstream.JetStream) (err error) {
	if s.starterLog, err = js.Stream(ctx, "KV_"+BucketStarters); err != nil {
		return fmt.Errorf("open bucket %s: %w", BucketStarters, err)
	}
	if s.starterTTL = s.starterLog.CachedInfo().Config.MaxAge; s.starterTTL <= 0 {
		return fmt.Errorf("bucket %s: has no TTL, so a dead starter would keep its partitions for ever: "+
			"delete the bucket, it is created again at the next start", BucketStarters)
	}
	return nil
}

func (o StreamOptions) withDefaults() StreamOptions {
	if o.Partitions <= 0 {
		o.Partitions = defaultPartitions
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
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
	// A dead letter is the event with more headers, so an event leaves room for them in what the server takes.
	largest := min(int64(schemas.MessageMax+headerRoom), maxPayload-deadLetterHeaderMax)
	return jetstream.StreamConfig{
		Name:             schemas.StreamEvents,
		Description:      "events of bot engines, waiting for a starter",
		Subjects:         []string{schemas.SubjectEvents + ".*.*.*"},
		SubjectTransform: partitionTransform(o.Partitions),
		Retention:        jetstream.WorkQueuePolicy,
		Storage:          jetstream.FileStorage,
		Discard:          jetstream.DiscardNew,
		Duplicates:       eventsDedupe,
		MaxBytes:         o.MaxBytes,
		MaxMsgSize:       int32(largest),
		AllowMsgTTL:      !o.RefuseTTL,
		Replicas:         o.Replicas,
	}
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
		Replicas:    o.Replicas,
	}
}

// ensureStream opens the stream, or makes it as want says. A stream that another process makes at the same time is
// opened, so whoever comes second checks what the first one made.
func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open or create stream %s: %w", want.Name, maybeDenied(err))
	}
	return stream, checkStream(stream.CachedInfo().Config, want)
}

// maybeDenied adds what to do to the error of a request that was not answered: the server does not answer a request that
// the user may not make.
func maybeDenied(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return fmt.Errorf("the server did not answer; if this user may not create streams, run \"starter setup\" once: %w", err)
	}
	return err
}

func ensureBucket(
	ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig,
) (jetstream.KeyValue, error) {
	bucket, err := js.KeyValue(ctx, want.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = js.CreateKeyValue(ctx, want)
		if errors.Is(err, jetstream.ErrBucketExists) {
			bucket, err = js.KeyValue(ctx, want.Bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open or create bucket %s: %w", want.Bucket, maybeDenied(err))
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", want.Bucket, err)
	}
	full, ok := status.(*jetstream.KeyValueBucketStatus)
	if ok && full.StreamInfo().Config.Storage != jetstream.FileStorage {
		return nil, fmt.Errorf("bucket %s: storage is memory, which a restart of the server empties: "+
			"create it again with file storage", want.Bucket)
	}
	return bucket, nil
}
