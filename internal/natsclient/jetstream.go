package natsclient

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// guardedJetStream is JetStream behind the guard. Streams, buckets and object stores that it opens are guarded too. A test
// holds that no method is left out.
type guardedJetStream struct {
	jetstream.JetStream
	guard
}

// opened puts a stream behind the guard.
func (g guardedJetStream) opened(stream jetstream.Stream, err error) (jetstream.Stream, error) {
	if err != nil {
		return nil, err
	}
	name := stream.CachedInfo().Config.Name
	return guardedStream{stream, g.guard, name, LeaderOf(g, name)}, nil
}

// bucket puts a bucket behind the guard.
func (g guardedJetStream) bucket(bucket jetstream.KeyValue, err error) (jetstream.KeyValue, error) {
	if err != nil {
		return nil, err
	}
	return guardedKeyValue{bucket, g.guard, "KV_" + bucket.Bucket(), "$KV." + bucket.Bucket()}, nil
}

// objects puts an object store behind the guard.
func (g guardedJetStream) objects(
	bucket string, store jetstream.ObjectStore, err error,
) (jetstream.ObjectStore, error) {
	if err != nil {
		return nil, err
	}
	return guardedObjects{store, g.guard, g, "OBJ_" + bucket, "$O." + bucket}, nil
}

func (g guardedJetStream) Publish(
	ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	return written(ctx, g.guard, checkSubject(subject), subject, to(subject),
		func(ctx context.Context) (*jetstream.PubAck, error) {
			return g.JetStream.Publish(ctx, subject, data, opts...)
		})
}

func (g guardedJetStream) PublishMsg(
	ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	return written(ctx, g.guard, checkSubject(m.Subject), m.Subject, to(m.Subject),
		func(ctx context.Context) (*jetstream.PubAck, error) { return g.JetStream.PublishMsg(ctx, m, opts...) })
}

func (g guardedJetStream) PublishAsync(
	subject string, data []byte, opts ...jetstream.PublishOpt,
) (jetstream.PubAckFuture, error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	return g.JetStream.PublishAsync(subject, data, opts...)
}

func (g guardedJetStream) PublishMsgAsync(m *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	if err := checkSubject(m.Subject); err != nil {
		return nil, err
	}
	return g.JetStream.PublishMsgAsync(m, opts...)
}

func (g guardedJetStream) StreamNameBySubject(ctx context.Context, subject string) (string, error) {
	return once(ctx, g.guard, checkFilter(subject), to("STREAM.NAMES"),
		func(ctx context.Context) (string, error) { return g.JetStream.StreamNameBySubject(ctx, subject) })
}

func (g guardedJetStream) DeleteStream(ctx context.Context, stream string) error {
	return g.run(ctx, CheckKey(stream), to("STREAM.DELETE."+stream),
		func(ctx context.Context) error { return g.JetStream.DeleteStream(ctx, stream) })
}

func (g guardedJetStream) DeleteKeyValue(ctx context.Context, bucket string) error {
	return g.run(ctx, CheckKey(bucket), to("STREAM.DELETE.KV_"+bucket),
		func(ctx context.Context) error { return g.JetStream.DeleteKeyValue(ctx, bucket) })
}

func (g guardedJetStream) DeleteObjectStore(ctx context.Context, bucket string) error {
	return g.run(ctx, CheckKey(bucket), to("STREAM.DELETE.OBJ_"+bucket),
		func(ctx context.Context) error { return g.JetStream.DeleteObjectStore(ctx, bucket) })
}

func (g guardedJetStream) Stream(ctx context.Context, stream string) (jetstream.Stream, error) {
	return once(ctx, g.guard, CheckKey(stream), to("STREAM.INFO."+stream),
		func(ctx context.Context) (jetstream.Stream, error) { return g.opened(g.JetStream.Stream(ctx, stream)) })
}

func (g guardedJetStream) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	return once(ctx, g.guard, checkStreamConfig(cfg), to("STREAM.CREATE."+cfg.Name),
		func(ctx context.Context) (jetstream.Stream, error) {
			return g.opened(g.JetStream.CreateStream(ctx, cfg))
		})
}

func (g guardedJetStream) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	return once(ctx, g.guard, checkStreamConfig(cfg), to("STREAM.UPDATE."+cfg.Name),
		func(ctx context.Context) (jetstream.Stream, error) {
			return g.opened(g.JetStream.UpdateStream(ctx, cfg))
		})
}

func (g guardedJetStream) CreateOrUpdateStream(
	ctx context.Context, cfg jetstream.StreamConfig,
) (jetstream.Stream, error) {
	return once(ctx, g.guard, checkStreamConfig(cfg), to("STREAM.*."+cfg.Name),
		func(ctx context.Context) (jetstream.Stream, error) {
			return g.opened(g.JetStream.CreateOrUpdateStream(ctx, cfg))
		})
}

func (g guardedJetStream) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	return once(ctx, g.guard, CheckKey(bucket), to("STREAM.INFO.KV_"+bucket),
		func(ctx context.Context) (jetstream.KeyValue, error) {
			return g.bucket(g.JetStream.KeyValue(ctx, bucket))
		})
}

func (g guardedJetStream) CreateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (jetstream.KeyValue, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.KV_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.KeyValue, error) {
			return g.bucket(g.JetStream.CreateKeyValue(ctx, cfg))
		})
}

func (g guardedJetStream) UpdateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (jetstream.KeyValue, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.KV_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.KeyValue, error) {
			return g.bucket(g.JetStream.UpdateKeyValue(ctx, cfg))
		})
}

func (g guardedJetStream) CreateOrUpdateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (jetstream.KeyValue, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.KV_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.KeyValue, error) {
			return g.bucket(g.JetStream.CreateOrUpdateKeyValue(ctx, cfg))
		})
}

func (g guardedJetStream) ObjectStore(ctx context.Context, bucket string) (jetstream.ObjectStore, error) {
	return once(ctx, g.guard, CheckKey(bucket), to("STREAM.INFO.OBJ_"+bucket),
		func(ctx context.Context) (jetstream.ObjectStore, error) {
			store, err := g.JetStream.ObjectStore(ctx, bucket)
			return g.objects(bucket, store, err)
		})
}

func (g guardedJetStream) CreateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (jetstream.ObjectStore, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.OBJ_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.ObjectStore, error) {
			store, err := g.JetStream.CreateObjectStore(ctx, cfg)
			return g.objects(cfg.Bucket, store, err)
		})
}

func (g guardedJetStream) UpdateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (jetstream.ObjectStore, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.OBJ_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.ObjectStore, error) {
			store, err := g.JetStream.UpdateObjectStore(ctx, cfg)
			return g.objects(cfg.Bucket, store, err)
		})
}

func (g guardedJetStream) CreateOrUpdateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (jetstream.ObjectStore, error) {
	return once(ctx, g.guard, CheckKey(cfg.Bucket), to("INFO", "STREAM.*.OBJ_"+cfg.Bucket),
		func(ctx context.Context) (jetstream.ObjectStore, error) {
			store, err := g.JetStream.CreateOrUpdateObjectStore(ctx, cfg)
			return g.objects(cfg.Bucket, store, err)
		})
}

func (g guardedJetStream) AccountInfo(ctx context.Context) (*jetstream.AccountInfo, error) {
	return once(ctx, g.guard, nil, to("INFO"),
		func(ctx context.Context) (*jetstream.AccountInfo, error) { return g.JetStream.AccountInfo(ctx) })
}
