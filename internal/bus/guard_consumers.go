package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
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
) (_ jetstream.Consumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) {
		return g.JetStream.CreateOrUpdateConsumer(ctx, stream,
			cfg)
	})
}

func (g guardedJetStream) CreateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (_ jetstream.Consumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return g.JetStream.CreateConsumer(ctx, stream, cfg)
}

func (g guardedJetStream) UpdateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (_ jetstream.Consumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return g.JetStream.UpdateConsumer(ctx, stream, cfg)
}

func (g guardedJetStream) OrderedConsumer(
	ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig,
) (_ jetstream.Consumer, err error) {
	if err := firstError(CheckKey(stream), checkOrdered(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubjects...)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) { return g.JetStream.OrderedConsumer(ctx, stream, cfg) })
}

func (g guardedJetStream) Consumer(ctx context.Context, stream string, consumer string) (_ jetstream.Consumer, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.INFO."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.Consumer(ctx, stream, consumer)
}

func (g guardedJetStream) DeleteConsumer(ctx context.Context, stream string, consumer string) (err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.DELETE."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.DeleteConsumer(ctx, stream, consumer)
}

func (g guardedJetStream) PauseConsumer(
	ctx context.Context, stream string, consumer string, until time.Time,
) (_ *jetstream.ConsumerPauseResponse, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.PAUSE."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.PauseConsumer(ctx, stream, consumer, until)
}

func (g guardedJetStream) ResumeConsumer(
	ctx context.Context, stream string, consumer string,
) (_ *jetstream.ConsumerPauseResponse, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.PAUSE."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.ResumeConsumer(ctx, stream, consumer)
}

func (g guardedJetStream) ResetConsumer(
	ctx context.Context, stream string, consumer string,
) (_ *jetstream.ConsumerResetResponse, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.RESET."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.ResetConsumer(ctx, stream, consumer)
}

func (g guardedJetStream) ResetConsumerToSequence(
	ctx context.Context, stream string, consumer string, seq uint64,
) (_ *jetstream.ConsumerResetResponse, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.RESET."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.ResetConsumerToSequence(ctx, stream, consumer, seq)
}

func (g guardedJetStream) CreateOrUpdatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return g.JetStream.CreateOrUpdatePushConsumer(ctx, stream, cfg)
}

func (g guardedJetStream) CreatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return g.JetStream.CreatePushConsumer(ctx, stream, cfg)
}

func (g guardedJetStream) UpdatePushConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := firstError(CheckKey(stream), checkConsumer(cfg)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(stream, cfg.FilterSubject)...)
	defer end(&err)
	return g.JetStream.UpdatePushConsumer(ctx, stream, cfg)
}

func (g guardedJetStream) PushConsumer(
	ctx context.Context, stream string, consumer string,
) (_ jetstream.PushConsumer, err error) {
	if err := firstError(CheckKey(stream), CheckKey(consumer)); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.INFO."+stream+"."+consumer)
	defer end(&err)
	return g.JetStream.PushConsumer(ctx, stream, consumer)
}

func (g guardedStream) CreateOrUpdateConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (_ jetstream.Consumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) {
		return g.guarded(g.Stream.CreateOrUpdateConsumer(ctx, cfg))
	})
}

func (g guardedStream) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (_ jetstream.Consumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) { return g.Stream.CreateConsumer(ctx, cfg) })
}

func (g guardedStream) UpdateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (_ jetstream.Consumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return g.Stream.UpdateConsumer(ctx, cfg)
}

func (g guardedStream) OrderedConsumer(
	ctx context.Context, cfg jetstream.OrderedConsumerConfig,
) (_ jetstream.Consumer, err error) {
	if err := checkOrdered(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubjects...)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) { return g.Stream.OrderedConsumer(ctx, cfg) })
}

func (g guardedStream) Consumer(ctx context.Context, consumer string) (_ jetstream.Consumer, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.INFO."+g.name()+"."+consumer)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.Consumer, error) { return g.guarded(g.Stream.Consumer(ctx, consumer)) })
}

func (g guardedStream) DeleteConsumer(ctx context.Context, consumer string) (err error) {
	if err := CheckKey(consumer); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.DELETE."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.DeleteConsumer(ctx, consumer)
}

func (g guardedStream) PauseConsumer(
	ctx context.Context, consumer string, until time.Time,
) (_ *jetstream.ConsumerPauseResponse, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.PAUSE."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.PauseConsumer(ctx, consumer, until)
}

func (g guardedStream) ResumeConsumer(ctx context.Context, consumer string) (_ *jetstream.ConsumerPauseResponse, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.PAUSE."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.ResumeConsumer(ctx, consumer)
}

func (g guardedStream) ResetConsumer(ctx context.Context, consumer string) (_ *jetstream.ConsumerResetResponse, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.RESET."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.ResetConsumer(ctx, consumer)
}

func (g guardedStream) ResetConsumerToSequence(
	ctx context.Context, consumer string, seq uint64,
) (_ *jetstream.ConsumerResetResponse, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.RESET."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.ResetConsumerToSequence(ctx, consumer, seq)
}

func (g guardedStream) CreateOrUpdatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return g.Stream.CreateOrUpdatePushConsumer(ctx, cfg)
}

func (g guardedStream) CreatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return g.Stream.CreatePushConsumer(ctx, cfg)
}

func (g guardedStream) UpdatePushConsumer(
	ctx context.Context, cfg jetstream.ConsumerConfig,
) (_ jetstream.PushConsumer, err error) {
	if err := checkConsumer(cfg); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, createsConsumer(g.name(), cfg.FilterSubject)...)
	defer end(&err)
	return g.Stream.UpdatePushConsumer(ctx, cfg)
}

func (g guardedStream) PushConsumer(ctx context.Context, consumer string) (_ jetstream.PushConsumer, err error) {
	if err := CheckKey(consumer); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.INFO."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.PushConsumer(ctx, consumer)
}

func (g guardedStream) UnpinConsumer(ctx context.Context, consumer, group string) (err error) {
	if err := firstError(CheckKey(consumer), CheckKey(group)); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, "CONSUMER.UNPIN."+g.name()+"."+consumer)
	defer end(&err)
	return g.Stream.UnpinConsumer(ctx, consumer, group)
}

// GetLastMsgForSubject reads from the leader.
func (g guardedStream) GetLastMsgForSubject(ctx context.Context, subject string) (_ *jetstream.RawStreamMsg, err error) {
	if err := checkFilter(subject); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.MSG.GET."+g.name())
	defer end(&err)
	return repeated(ctx, g.up, func() (*jetstream.RawStreamMsg, error) {
		return leader(ctx, g.js, func(js nats.JetStreamContext, o ...nats.JSOpt) (*nats.RawStreamMsg, error) {
			return js.GetLastMsg(g.name(), subject, o...)
		})
	})
}

func (g guardedStream) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (_ *jetstream.StreamInfo, err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.INFO."+g.name())
	defer end(&err)
	return repeated(ctx, g.up, func() (*jetstream.StreamInfo, error) { return g.Stream.Info(ctx, opts...) })
}

// GetMsg reads from the leader. With options, which choose by subject, it reads as the stream allows: no stream that is read
// so allows direct reads.
func (g guardedStream) GetMsg(
	ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt,
) (_ *jetstream.RawStreamMsg, err error) {
	ctx, end := g.rights.begin(ctx, "STREAM.MSG.GET."+g.name(), "DIRECT.GET."+g.name())
	defer end(&err)
	return repeated(ctx, g.up, func() (*jetstream.RawStreamMsg, error) {
		if len(opts) > 0 {
			return g.Stream.GetMsg(ctx, seq, opts...)
		}
		return leader(ctx, g.js, func(js nats.JetStreamContext, o ...nats.JSOpt) (*nats.RawStreamMsg, error) {
			return js.GetMsg(g.name(), seq, o...)
		})
	})
}

func (g guardedStream) name() string { return g.CachedInfo().Config.Name }
