package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Key-value buckets of hookturn.
const (
	// BucketUsers keeps user_details, which outlive conversations.
	BucketUsers = "HOOKTURN_USERS"
	// BucketStarters keeps the live starters and the leases of partitions.
	BucketStarters = "HOOKTURN_STARTERS"
	// BucketEndpoints keeps the states of endpoints that workers share.
	BucketEndpoints = "HOOKTURN_ENDPOINTS"
	// BucketPauses keeps what operators decided about bots and endpoints.
	BucketPauses = "HOOKTURN_PAUSES"
	// BucketRedrives keeps how far the repetitions of many events have come.
	BucketRedrives = "HOOKTURN_REDRIVES"
	// BucketKeys keeps the keys that all processes share. A reader of it can create callback addresses.
	BucketKeys = "HOOKTURN_KEYS"
	// BucketChats keeps the conversations of TwoWay chats.
	BucketChats = "HOOKTURN_CHATS"
	// BucketClaims keeps the claims by which one gateway delivers an event notification.
	BucketClaims = "HOOKTURN_CLAIMS"
	// BucketPosted keeps the content of events that came over HTTP, by identity and id.
	BucketPosted = "HOOKTURN_POSTED"
	// BucketChannels keeps the integration channels of the admin API, with hashes of their tokens.
	BucketChannels = "HOOKTURN_CHANNELS"
	// BucketFiles is the object store of files.
	BucketFiles = "HOOKTURN_FILES"
)

// filesStream is the stream behind the object store of files.
const filesStream = "OBJ_" + BucketFiles

// FilesTTL is how long the object store keeps a file.
const FilesTTL = 7 * 24 * time.Hour

const (
	endpointsTTL = time.Hour
	redrivesTTL  = 30 * 24 * time.Hour
	chatsTTL     = 30 * 24 * time.Hour
	claimsTTL    = 2 * time.Minute
	bucketDedupe = 2 * time.Minute
)

// bucketConfigs returns the configurations of the key-value buckets.
func bucketConfigs(o StreamOptions) []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{Bucket: BucketUsers, Description: "user_details by tenant and user"},
		{Bucket: BucketStarters, Description: "live starters and partition leases", TTL: o.StarterTTL},
		{Bucket: BucketEndpoints, Description: "states of endpoints", TTL: endpointsTTL},
		{Bucket: BucketPauses, Description: "pauses of bots and endpoints by operators"},
		{Bucket: BucketRedrives, Description: "progress of redrives", TTL: redrivesTTL},
		{Bucket: BucketKeys, Description: "keys that all processes share"},
		{Bucket: BucketChats, Description: "conversations of TwoWay chats", TTL: chatsTTL},
		{Bucket: BucketClaims, Description: "event notifications that a gateway delivers", TTL: claimsTTL},
		{Bucket: BucketPosted, Description: "content of events that came over HTTP", TTL: eventsDedupe},
		{Bucket: BucketChannels, Description: "channels of the admin API"},
	}
}

// deniesRollups reports whether the bucket behind a stream rejects messages that replace others. Some users may write single
// keys of these buckets, and a message to any key could replace all of them; code workers may write user details.
func deniesRollups(stream string) bool {
	switch stream {
	case "KV_" + BucketKeys, "KV_" + BucketClaims, "KV_" + BucketPosted, "KV_" + BucketUsers:
		return true
	}
	return false
}

// bucketStream returns the stream behind a bucket as the library creates it, which would allow rollups in each.
func bucketStream(of jetstream.KeyValueConfig) jetstream.StreamConfig {
	name := "KV_" + of.Bucket
	dedupe := bucketDedupe
	if of.TTL > 0 {
		dedupe = min(dedupe, of.TTL)
	}
	return jetstream.StreamConfig{
		Name: name, Description: of.Description, Subjects: []string{"$KV." + of.Bucket + ".>"},
		MaxMsgsPerSubject: int64(of.History), MaxBytes: of.MaxBytes, MaxAge: of.TTL, MaxMsgSize: -1, MaxMsgs: -1,
		MaxConsumers: -1, Discard: jetstream.DiscardNew, Storage: of.Storage, Replicas: of.Replicas, Duplicates: dedupe,
		AllowRollup: !deniesRollups(name), DenyDelete: true, AllowDirect: true,
	}
}

// openBuckets opens every key-value bucket or creates it, and opens the streams behind the buckets that are read as
// streams: one request to such a stream lists every key, or returns a value with its headers.
func (s *Streams) openBuckets(ctx context.Context, js jetstream.JetStream, o StreamOptions) (err error) {
	s.buckets, s.logs = map[string]jetstream.KeyValue{}, map[string]jetstream.Stream{}
	for _, want := range bucketConfigs(o) {
		want.History, want.Storage, want.Replicas = 1, jetstream.FileStorage, o.Replicas
		want.MaxBytes = o.sizeOf("KV_" + want.Bucket)
		if s.buckets[want.Bucket], err = ensureBucket(ctx, js, o, want); err != nil {
			return err
		}
	}
	for _, bucket := range []string{BucketUsers, BucketChats, BucketPosted, BucketStarters, BucketEndpoints} {
		if s.logs[bucket], err = js.Stream(ctx, "KV_"+bucket); err != nil {
			return fmt.Errorf("open bucket %s: %w", bucket, err)
		}
	}
	s.starterTTL = s.logs[BucketStarters].CachedInfo().Config.MaxAge
	return nil
}

func ensureBucket(
	ctx context.Context, js jetstream.JetStream, o StreamOptions, want jetstream.KeyValueConfig,
) (jetstream.KeyValue, error) {
	bucket, err := js.KeyValue(ctx, want.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		stream := bucketStream(want)
		stream.FirstSeq = o.firstSeq(stream.Name)
		if _, err = js.CreateStream(ctx, stream); err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			bucket, err = js.KeyValue(ctx, want.Bucket)
		}
	}
	if err != nil {
		asked := jetstream.StreamConfig{Name: "KV_" + want.Bucket, MaxBytes: want.MaxBytes, Replicas: want.Replicas}
		return nil, fmt.Errorf("open or create bucket %s: %w", want.Bucket, maybeDenied(tooSmall(ctx, js, asked, err)))
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", want.Bucket, err)
	}
	if full, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		return bucket, checkBucket(want.Bucket, full.StreamInfo().Config)
	}
	return bucket, nil
}

// checkBucket rejects an existing bucket that would lose data.
func checkBucket(bucket string, have jetstream.StreamConfig) error {
	switch {
	case have.Storage != jetstream.FileStorage:
		return fmt.Errorf("bucket %s: storage is memory, which loses its content at a restart of the server: "+
			"create it again with file storage", bucket)
	case bucket == BucketStarters && have.MaxAge <= 0:
		return fmt.Errorf("bucket %s: has no TTL, so a dead starter would keep its partitions for ever: "+
			"delete the bucket, it is created again at the next start", bucket)
	}
	return nil
}

func ensureFiles(ctx context.Context, js jetstream.JetStream, o StreamOptions) (jetstream.ObjectStore, error) {
	store, err := js.ObjectStore(ctx, BucketFiles)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		store, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: BucketFiles, Description: "files of channels and scripts", TTL: FilesTTL,
			MaxBytes: o.sizeOf("OBJ_" + BucketFiles), Storage: jetstream.FileStorage, Replicas: o.Replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			store, err = js.ObjectStore(ctx, BucketFiles)
		}
	}
	if err != nil {
		asked := jetstream.StreamConfig{Name: "OBJ_" + BucketFiles, MaxBytes: o.sizeOf("OBJ_" + BucketFiles), Replicas: o.Replicas}
		return nil, fmt.Errorf("open or create object store %s: %w", BucketFiles, maybeDenied(tooSmall(ctx, js, asked, err)))
	}
	return store, nil
}
