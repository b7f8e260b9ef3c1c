package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// checkConsumer checks the texts of a consumer's configuration that travel in the subject of the request for it.
func checkConsumer(cfg jetstream.ConsumerConfig) error {
	for _, name := range []string{cfg.Name, cfg.Durable} {
		if err := checkOptional(CheckKey, name); err != nil {
			return err
		}
	}
	if err := checkOptional(checkFilter, cfg.FilterSubject); err != nil {
		return err
	}
	return checkEach(checkFilter, cfg.FilterSubjects)
}

// checkOrdered is checkConsumer for ordered consumers.
func checkOrdered(cfg jetstream.OrderedConsumerConfig) error {
	return firstError(checkOptional(CheckKey, cfg.NamePrefix), checkEach(checkFilter, cfg.FilterSubjects))
}

func checkStreamConfig(cfg jetstream.StreamConfig) error {
	return firstError(CheckKey(cfg.Name), checkEach(checkFilter, cfg.Subjects))
}

func checkOptional(check func(string) error, text string) error {
	if text == "" {
		return nil
	}
	return check(text)
}

func checkEach(check func(string) error, texts []string) error {
	for _, text := range texts {
		if err := check(text); err != nil {
			return err
		}
	}
	return nil
}

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

func (g guardedStream) CreateOrUpdateConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.guarded(g.Stream.CreateOrUpdateConsumer(ctx, cfg))
		})
}

func (g guardedStream) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) { return g.Stream.CreateConsumer(ctx, cfg) })
}

func (g guardedStream) UpdateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return once(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.Consumer, error) { return g.Stream.UpdateConsumer(ctx, cfg) })
}

func (g guardedStream) OrderedConsumer(
	ctx context.Context, cfg jetstream.OrderedConsumerConfig,
) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, checkOrdered(cfg), creates(g.stream, cfg.FilterSubjects...),
		func(ctx context.Context) (jetstream.Consumer, error) { return g.Stream.OrderedConsumer(ctx, cfg) })
}

func (g guardedStream) Consumer(ctx context.Context, consumer string) (jetstream.Consumer, error) {
	return repeated(ctx, g.guard, CheckKey(consumer), to("CONSUMER.INFO."+g.stream+"."+consumer),
		func(ctx context.Context) (jetstream.Consumer, error) {
			return g.guarded(g.Stream.Consumer(ctx, consumer))
		})
}

func (g guardedStream) DeleteConsumer(ctx context.Context, consumer string) error {
	return g.run(ctx, CheckKey(consumer), to("CONSUMER.DELETE."+g.stream+"."+consumer),
		func(ctx context.Context) error { return g.Stream.DeleteConsumer(ctx, consumer) })
}

func (g guardedStream) PauseConsumer(
	ctx context.Context, consumer string, until time.Time,
) (*jetstream.ConsumerPauseResponse, error) {
	return once(ctx, g.guard, CheckKey(consumer), to("CONSUMER.PAUSE."+g.stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerPauseResponse, error) {
			return g.Stream.PauseConsumer(ctx, consumer, until)
		})
}

func (g guardedStream) ResumeConsumer(ctx context.Context, consumer string) (*jetstream.ConsumerPauseResponse, error) {
	return once(ctx, g.guard, CheckKey(consumer), to("CONSUMER.PAUSE."+g.stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerPauseResponse, error) {
			return g.Stream.ResumeConsumer(ctx, consumer)
		})
}

func (g guardedStream) ResetConsumer(ctx context.Context, consumer string) (*jetstream.ConsumerResetResponse, error) {
	return once(ctx, g.guard, CheckKey(consumer), to("CONSUMER.RESET."+g.stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
			return g.Stream.ResetConsumer(ctx, consumer)
		})
}

func (g guardedStream) ResetConsumerToSequence(
	ctx context.Context, consumer string, seq uint64,
) (*jetstream.ConsumerResetResponse, error) {
	return once(ctx, g.guard, CheckKey(consumer), to("CONSUMER.RESET."+g.stream+"."+consumer),
		func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
			return g.Stream.ResetConsumerToSequence(ctx, consumer, seq)
		})
}

func (g guardedStream) CreateOrUpdatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.Stream.CreateOrUpdatePushConsumer(ctx, cfg)
		})
}

func (g guardedStream) CreatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.Stream.CreatePushConsumer(ctx, cfg)
		})
}

func (g guardedStream) UpdatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, checkConsumer(cfg), creates(g.stream, cfg.FilterSubject),
		func(ctx context.Context) (jetstream.PushConsumer, error) {
			return g.Stream.UpdatePushConsumer(ctx, cfg)
		})
}

func (g guardedStream) PushConsumer(ctx context.Context, consumer string) (jetstream.PushConsumer, error) {
	return once(ctx, g.guard, CheckKey(consumer), to("CONSUMER.INFO."+g.stream+"."+consumer),
		func(ctx context.Context) (jetstream.PushConsumer, error) { return g.Stream.PushConsumer(ctx, consumer) })
}

func (g guardedStream) UnpinConsumer(ctx context.Context, consumer, group string) error {
	return g.run(ctx, firstError(CheckKey(consumer), CheckKey(group)), to("CONSUMER.UNPIN."+g.stream+"."+consumer),
		func(ctx context.Context) error { return g.Stream.UnpinConsumer(ctx, consumer, group) })
}

// GetLastMsgForSubject reads from the leader.
func (g guardedStream) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return repeated(ctx, guard{up: g.up}, checkFilter(subject), nil,
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return g.leader.get(ctx, query{Last: subject})
		})
}

func (g guardedStream) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return repeated(ctx, g.guard, nil, to("STREAM.INFO."+g.stream),
		func(ctx context.Context) (*jetstream.StreamInfo, error) { return g.Stream.Info(ctx, opts...) })
}

// GetMsg reads from the leader. With options, which choose by subject, it reads as the stream allows: no stream that is read
// so allows direct reads.
func (g guardedStream) GetMsg(
	ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt,
) (*jetstream.RawStreamMsg, error) {
	if len(opts) == 0 {
		return repeated(ctx, guard{up: g.up}, nil, nil,
			func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return g.leader.get(ctx, query{Sequence: seq})
			})
	}
	return repeated(ctx, g.guard, nil, to("STREAM.MSG.GET."+g.stream, "DIRECT.GET."+g.stream),
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return g.Stream.GetMsg(ctx, seq, opts...) })
}
