package bus

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// guardedJetStream is JetStream behind the guard: each method that takes a text checks it before anything is sent.
// Streams, buckets and object stores that it opens are guarded too. A test holds that no method is left out.
type guardedJetStream struct {
	jetstream.JetStream

	up     *upkeep // nil: nothing is created again
	rights *rights
}

// guardedStream is a stream behind the guard.
type guardedStream struct {
	jetstream.Stream

	js     jetstream.JetStream
	up     *upkeep
	rights *rights
}

func (g guardedJetStream) Publish(
	ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt,
) (_ *jetstream.PubAck, err error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, subject)
	defer end(&err)
	var ack *jetstream.PubAck
	err = g.up.write(ctx, streamOf(subject), func() (err error) {
		ack, err = g.JetStream.Publish(ctx, subject, data, opts...)
		return err
	})
	return ack, err
}

func (g guardedJetStream) PublishMsg(
	ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt,
) (_ *jetstream.PubAck, err error) {
	if err := checkSubject(m.Subject); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, m.Subject)
	defer end(&err)
	var ack *jetstream.PubAck
	err = g.up.write(ctx, streamOf(m.Subject), func() (err error) {
		ack, err = g.JetStream.PublishMsg(ctx, m, opts...)
		return err
	})
	return ack, err
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

func (g guardedJetStream) StreamNameBySubject(ctx context.Context, subject string) (_ string, err error) {
	if err := checkFilter(subject); err != nil {
		return "", err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.NAMES")
	defer end(&err)
	return g.JetStream.StreamNameBySubject(ctx, subject)
}

func (g guardedJetStream) DeleteStream(ctx context.Context, stream string) (err error) {
	if err := CheckKey(stream); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.DELETE."+stream)
	defer end(&err)
	return g.JetStream.DeleteStream(ctx, stream)
}

func (g guardedJetStream) DeleteKeyValue(ctx context.Context, bucket string) (err error) {
	if err := CheckKey(bucket); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.DELETE.KV_"+bucket)
	defer end(&err)
	return g.JetStream.DeleteKeyValue(ctx, bucket)
}

func (g guardedJetStream) DeleteObjectStore(ctx context.Context, bucket string) (err error) {
	if err := CheckKey(bucket); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.DELETE.OBJ_"+bucket)
	defer end(&err)
	return g.JetStream.DeleteObjectStore(ctx, bucket)
}

func (g guardedJetStream) Stream(ctx context.Context, stream string) (_ jetstream.Stream, err error) {
	if err := CheckKey(stream); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.INFO."+stream)
	defer end(&err)
	opened, err := g.JetStream.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return guardedStream{opened, g.JetStream, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (_ jetstream.Stream, err error) {
	if err := checkStreamConfig(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.CREATE."+cfg.Name)
	defer end(&err)
	opened, err := g.JetStream.CreateStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedStream{opened, g.JetStream, g.up, g.rights}, nil
}

func (g guardedJetStream) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (_ jetstream.Stream, err error) {
	if err := checkStreamConfig(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.UPDATE."+cfg.Name)
	defer end(&err)
	opened, err := g.JetStream.UpdateStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedStream{opened, g.JetStream, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateOrUpdateStream(
	ctx context.Context, cfg jetstream.StreamConfig,
) (_ jetstream.Stream, err error) {
	if err := checkStreamConfig(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.*."+cfg.Name)
	defer end(&err)
	opened, err := g.JetStream.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedStream{opened, g.JetStream, g.up, g.rights}, nil
}

func (g guardedJetStream) KeyValue(ctx context.Context, bucket string) (_ jetstream.KeyValue, err error) {
	if err := CheckKey(bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.INFO.KV_"+bucket)
	defer end(&err)
	opened, err := g.JetStream.KeyValue(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return guardedKeyValue{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (_ jetstream.KeyValue, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.KV_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.CreateKeyValue(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedKeyValue{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) UpdateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (_ jetstream.KeyValue, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.KV_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.UpdateKeyValue(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedKeyValue{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateOrUpdateKeyValue(
	ctx context.Context, cfg jetstream.KeyValueConfig,
) (_ jetstream.KeyValue, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.KV_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.CreateOrUpdateKeyValue(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedKeyValue{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) ObjectStore(ctx context.Context, bucket string) (_ jetstream.ObjectStore, err error) {
	if err := CheckKey(bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.INFO.OBJ_"+bucket)
	defer end(&err)
	opened, err := g.JetStream.ObjectStore(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return guardedObjects{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (_ jetstream.ObjectStore, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.OBJ_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.CreateObjectStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedObjects{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) UpdateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (_ jetstream.ObjectStore, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.OBJ_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.UpdateObjectStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedObjects{opened, g.up, g.rights}, nil
}

func (g guardedJetStream) CreateOrUpdateObjectStore(
	ctx context.Context, cfg jetstream.ObjectStoreConfig,
) (_ jetstream.ObjectStore, err error) {
	if err := CheckKey(cfg.Bucket); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "INFO", "STREAM.*.OBJ_"+cfg.Bucket)
	defer end(&err)
	opened, err := g.JetStream.CreateOrUpdateObjectStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guardedObjects{opened, g.up, g.rights}, nil
}
