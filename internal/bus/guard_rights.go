package bus

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedConsumer is a consumer behind the guard.
type guardedConsumer struct {
	jetstream.Consumer

	rights *rights
	stream string
}

// guarded returns a consumer of the stream behind the guard.
func (g guardedStream) guarded(consumer jetstream.Consumer, err error) (jetstream.Consumer, error) {
	if err != nil {
		return nil, err
	}
	return guardedConsumer{consumer, g.rights, g.name()}, nil
}

// key returns the subject of a key.
func (g guardedKeyValue) key(key string) string { return "$KV." + g.Bucket() + "." + key }

// reads returns the subjects of reading a key.
func (g guardedKeyValue) reads(key string) []string {
	stream := "KV_" + g.Bucket()
	return []string{"DIRECT.GET." + stream + "." + g.key(key), "STREAM.MSG.GET." + stream}
}

// watches returns the subjects of reading all keys.
func (g guardedKeyValue) watches() []string {
	stream := "KV_" + g.Bucket()
	return []string{"STREAM.INFO." + stream, "CONSUMER.CREATE." + stream + ".>", "CONSUMER.CREATE." + stream}
}

// filesSubjects returns the subjects of reading and storing objects.
func filesSubjects() []string {
	const stream = "OBJ_" + BucketFiles
	return []string{
		"$O." + BucketFiles + ".>", "STREAM.INFO." + stream, "STREAM.PURGE." + stream, "STREAM.MSG.GET." + stream,
		"DIRECT.GET." + stream + ".>", "CONSUMER.CREATE." + stream + ".>", "CONSUMER.CREATE." + stream,
	}
}

// createsConsumer returns the subjects of creating a consumer with some filters.
func createsConsumer(stream string, filters ...string) []string {
	root := "CONSUMER.CREATE." + stream
	if len(filters) == 1 && filters[0] != "" {
		return []string{root + ".*." + filters[0]}
	}
	return []string{root, root + ".*"}
}

// readsConsumer returns the subjects of reading with any consumer of a stream.
func readsConsumer(stream string) []string {
	return []string{"CONSUMER.MSG.NEXT." + stream + ".*", "CONSUMER.CREATE." + stream + ".>", "CONSUMER.INFO." + stream + ".*"}
}

func (g guardedConsumer) Info(ctx context.Context) (_ *jetstream.ConsumerInfo, err error) {
	ctx, end := g.rights.begin(ctx, "CONSUMER.INFO."+g.stream+"."+g.CachedInfo().Name)
	defer end(&err)
	return g.Consumer.Info(ctx)
}

func (g guardedJetStream) AccountInfo(ctx context.Context) (_ *jetstream.AccountInfo, err error) {
	ctx, end := g.rights.begin(ctx, "INFO")
	defer end(&err)
	return g.JetStream.AccountInfo(ctx)
}

func (g guardedStream) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) (err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.PURGE."+g.name())
	defer end(&err)
	return g.Stream.Purge(ctx, opts...)
}

func (g guardedStream) DeleteMsg(ctx context.Context, sequence uint64) (err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.MSG.DELETE."+g.name())
	defer end(&err)
	return g.Stream.DeleteMsg(ctx, sequence)
}

func (g guardedKeyValue) Status(ctx context.Context) (_ jetstream.KeyValueStatus, err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.INFO.KV_"+g.Bucket())
	defer end(&err)
	return g.KeyValue.Status(ctx)
}

func (g guardedObjects) Status(ctx context.Context) (_ jetstream.ObjectStoreStatus, err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.INFO.OBJ_"+BucketFiles)
	defer end(&err)
	return g.ObjectStore.Status(ctx)
}
