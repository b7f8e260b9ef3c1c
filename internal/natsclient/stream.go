package natsclient

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedStream is a stream behind the guard.
type guardedStream struct {
	jetstream.Stream
	guard

	stream string // its name
	leader Leader
}

// GetLastMsgForSubject reads from the leader.
func (g guardedStream) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return repeated(ctx, guard{up: g.up}, checkFilter(subject), nil,
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return g.leader.Get(ctx, Query{Last: subject})
		})
}

// GetLastDirect returns the latest message of a subject from any replica of a stream that allows direct reads, or
// jetstream.ErrMsgNotFound. It is for users who may read single subjects of the stream: permissions cannot bound what the
// leader is asked for. A replica that lags does not have the latest message.
func GetLastDirect(
	ctx context.Context, js jetstream.JetStream, stream, subject string,
) (*jetstream.RawStreamMsg, error) {
	open := func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) }
	opened, err := again(UpkeepOf(js), open)(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", stream, err)
	}
	g, guarded := opened.(guardedStream)
	if !guarded {
		return opened.GetLastMsgForSubject(ctx, subject)
	}
	return repeated(ctx, g.guard, checkFilter(subject), to("DIRECT.GET."+stream+"."+subject),
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return g.Stream.GetLastMsgForSubject(ctx, subject)
		})
}

func (g guardedStream) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return repeated(ctx, g.guard, nil, to("STREAM.INFO."+g.stream),
		func(ctx context.Context) (*jetstream.StreamInfo, error) { return g.Stream.Info(ctx, opts...) })
}

// NextMsg returns the first message of a stream from a sequence on whose subject matches a filter, read from the leader, or
// jetstream.ErrMsgNotFound. The filter may be any stored subject. A message whose headers cannot be read does not have any.
func NextMsg(ctx context.Context, s jetstream.Stream, from uint64, filter string) (*jetstream.RawStreamMsg, error) {
	g, guarded := s.(guardedStream)
	if !guarded {
		return s.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
	}
	return repeated(ctx, guard{up: g.up}, nil, nil,
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return g.leader.next(ctx, from, filter) })
}

// GetMsg reads from the leader. With options it is the library's, which reads as the stream allows and fails for a message
// whose headers cannot be read: NextMsg chooses by subject.
func (g guardedStream) GetMsg(
	ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt,
) (*jetstream.RawStreamMsg, error) {
	if len(opts) == 0 {
		return repeated(ctx, guard{up: g.up}, nil, nil,
			func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return g.leader.Get(ctx, Query{Sequence: seq})
			})
	}
	return repeated(ctx, g.guard, nil, to("STREAM.MSG.GET."+g.stream, "DIRECT.GET."+g.stream),
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return g.Stream.GetMsg(ctx, seq, opts...) })
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

func (g guardedConsumer) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	return once(ctx, g.guard, nil, to("CONSUMER.INFO."+g.stream+"."+g.CachedInfo().Name),
		func(ctx context.Context) (*jetstream.ConsumerInfo, error) { return g.Consumer.Info(ctx) })
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
