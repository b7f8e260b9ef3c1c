package natsclient

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func (g guardedJetStream) CreateOrUpdateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.JetStream.CreateOrUpdateConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) CreateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.JetStream.CreateConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) UpdateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.JetStream.UpdateConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) OrderedConsumer(
	ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig,
) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, firstError(CheckKey(stream), checkOrdered(cfg)), creates(stream, cfg.FilterSubjects...),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.JetStream.OrderedConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) Consumer(ctx context.Context, stream string, consumer string) (jetstream.Consumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.INFO."+stream+"."+consumer),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.JetStream.Consumer(ctx, stream, consumer)
		})
}

func (g guardedJetStream) DeleteConsumer(ctx context.Context, stream string, consumer string) error {
	return g.run(ctx, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.DELETE."+stream+"."+consumer),
		func(ctx context.Context) error { return g.JetStream.DeleteConsumer(ctx, stream, consumer) })
}

func (g guardedJetStream) PauseConsumer(
	ctx context.Context, stream string, consumer string, until time.Time,
) (*jetstream.ConsumerPauseResponse, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.PAUSE."+stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerPauseResponse, error) {
			return g.JetStream.PauseConsumer(ctx, stream, consumer, until)
		})
}

func (g guardedJetStream) ResumeConsumer(
	ctx context.Context, stream string, consumer string,
) (*jetstream.ConsumerPauseResponse, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.PAUSE."+stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerPauseResponse, error) {
			return g.JetStream.ResumeConsumer(ctx, stream, consumer)
		})
}

func (g guardedJetStream) ResetConsumer(
	ctx context.Context, stream string, consumer string,
) (*jetstream.ConsumerResetResponse, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.RESET."+stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
			return g.JetStream.ResetConsumer(ctx, stream, consumer)
		})
}

func (g guardedJetStream) ResetConsumerToSequence(
	ctx context.Context, stream string, consumer string, seq uint64,
) (*jetstream.ConsumerResetResponse, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.RESET."+stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
			return g.JetStream.ResetConsumerToSequence(ctx, stream, consumer, seq)
		})
}

func (g guardedJetStream) CreateOrUpdatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.JetStream.CreateOrUpdatePushConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) CreatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.JetStream.CreatePushConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) UpdatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), checkConsumer(cfg)), creates(stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.JetStream.UpdatePushConsumer(ctx, stream, cfg)
		})
}

func (g guardedJetStream) PushConsumer(
	ctx context.Context, stream string, consumer string,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, firstError(CheckKey(stream), CheckKey(consumer)), to("CONSUMER.INFO."+stream+"."+consumer),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.JetStream.PushConsumer(ctx, stream, consumer)
		})
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

// Consume runs what reads a stream with a consumer, as long as its context: it ends when the server denies the reading.
func Consume(ctx context.Context, js jetstream.JetStream, stream string, read func(context.Context) error) error {
	_, err := unbounded(ctx, guard{rights: rightsOf(js)}, nil, readsConsumer(stream), without(read))
	return err
}
