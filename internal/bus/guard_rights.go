package bus

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedConsumer is a consumer behind the guard.
type guardedConsumer struct {
	jetstream.Consumer
	guard

	stream string
}

// guarded returns a consumer of the stream behind the guard.
func (g guardedStream) guarded(consumer jetstream.Consumer, err error) (jetstream.Consumer, error) {
	if err != nil {
		return nil, err
	}
	return guardedConsumer{consumer, g.guard, g.stream}, nil
}

// to returns fixed subjects.
func to(subjects ...string) uses { return func() []string { return subjects } }

// key returns the subject of a key.
func (g guardedKeyValue) key(key string) string {
	return "$KV." + strings.TrimPrefix(g.stream, "KV_") + "." + key
}

// keyed returns the subject of storing a key.
func (g guardedKeyValue) keyed(key string) uses {
	return func() []string { return []string{g.key(key)} }
}

// reads returns the subjects of reading a key.
func (g guardedKeyValue) reads(key string) []string {
	return []string{"DIRECT.GET." + g.stream + "." + g.key(key), "STREAM.MSG.GET." + g.stream}
}

// watches returns the subjects of reading all keys.
func (g guardedKeyValue) watches() []string {
	return []string{"STREAM.INFO." + g.stream, "CONSUMER.CREATE." + g.stream + ".>", "CONSUMER.CREATE." + g.stream}
}

// filesStream is the stream behind the object store.
const filesStream = "OBJ_" + BucketFiles

// filesSubjects returns the subjects of reading and storing objects.
func filesSubjects() []string {
	return []string{
		"$O." + BucketFiles + ".>", "STREAM.INFO." + filesStream, "STREAM.PURGE." + filesStream,
		"STREAM.MSG.GET." + filesStream, "DIRECT.GET." + filesStream + ".>", "CONSUMER.CREATE." + filesStream + ".>",
		"CONSUMER.CREATE." + filesStream,
	}
}

// creates returns the subjects of creating a consumer with some filters.
func creates(stream string, filters ...string) uses {
	return func() []string {
		root := "CONSUMER.CREATE." + stream
		if len(filters) == 1 && filters[0] != "" {
			return []string{root + ".*." + filters[0]}
		}
		return []string{root, root + ".*"}
	}
}

// readsConsumer returns the subjects of reading with any consumer of a stream.
func readsConsumer(stream string) uses {
	return to("CONSUMER.MSG.NEXT."+stream+".*", "CONSUMER.CREATE."+stream+".>", "CONSUMER.INFO."+stream+".*")
}

func (g guardedConsumer) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	return once(ctx, g.guard, nil, to("CONSUMER.INFO."+g.stream+"."+g.CachedInfo().Name),
		func(ctx context.Context) (*jetstream.ConsumerInfo, error) { return g.Consumer.Info(ctx) })
}

func (g guardedJetStream) AccountInfo(ctx context.Context) (*jetstream.AccountInfo, error) {
	return once(ctx, g.guard, nil, to("INFO"),
		func(ctx context.Context) (*jetstream.AccountInfo, error) { return g.JetStream.AccountInfo(ctx) })
}

// Purge takes as long as the number of messages asks for.
func (g guardedStream) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	_, err := unbounded(ctx, g.guard, nil, to("STREAM.PURGE."+g.stream),
		without(func(ctx context.Context) error { return g.Stream.Purge(ctx, opts...) }))
	return err
}

func (g guardedStream) DeleteMsg(ctx context.Context, sequence uint64) error {
	return g.run(ctx, nil, to("STREAM.MSG.DELETE."+g.stream),
		func(ctx context.Context) error { return g.Stream.DeleteMsg(ctx, sequence) })
}

func (g guardedStream) SecureDeleteMsg(ctx context.Context, sequence uint64) error {
	return g.run(ctx, nil, to("STREAM.MSG.DELETE."+g.stream),
		func(ctx context.Context) error { return g.Stream.SecureDeleteMsg(ctx, sequence) })
}

func (g guardedKeyValue) Status(ctx context.Context) (jetstream.KeyValueStatus, error) {
	return repeated(ctx, g.guard, nil, to("STREAM.INFO."+g.stream),
		func(ctx context.Context) (jetstream.KeyValueStatus, error) { return g.KeyValue.Status(ctx) })
}

func (g guardedObjects) Status(ctx context.Context) (jetstream.ObjectStoreStatus, error) {
	return once(ctx, g.guard, nil, to("STREAM.INFO."+filesStream),
		func(ctx context.Context) (jetstream.ObjectStoreStatus, error) { return g.ObjectStore.Status(ctx) })
}
