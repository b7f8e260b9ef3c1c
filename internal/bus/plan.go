package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// Plan returns what Setup, Resize, Repartition and EnsureEngine (of each tenant) would change, one line for each change, and
// changes nothing. It returns the error of what they would reject: a stream that would lose data, a size below what a stream
// holds or above what the account allows. It does not check whether the user may create what is missing.
func Plan(ctx context.Context, js jetstream.JetStream, o StreamOptions, tenants []string) (changes []string, err error) {
	p := planner{js: js, options: o}
	for _, want := range p.wanted() {
		if err := p.stream(ctx, want); err != nil {
			return nil, err
		}
	}
	if err := p.room(ctx); err != nil {
		return nil, err
	}
	for _, tenant := range tenants {
		if err := p.engine(ctx, tenant); err != nil {
			return nil, err
		}
	}
	return p.changes, nil
}

// planner collects changes.
type planner struct {
	js      jetstream.JetStream
	options StreamOptions
	changes []string
	bytes   int64 // of the streams that are missing
}

func (p *planner) add(format string, args ...any) {
	p.changes = append(p.changes, fmt.Sprintf(format, args...))
}

// wantedStream is a stream of hookturn, or the one behind a bucket.
type wantedStream struct {
	size  Size
	check func(have jetstream.StreamConfig) error
}

// wanted returns all streams in the order in which Sizes has them.
func (p *planner) wanted() (all []wantedStream) {
	o := p.options.withDefaults()
	checks := map[string]func(jetstream.StreamConfig) error{}
	for _, want := range []jetstream.StreamConfig{
		eventsConfig(o, p.js.Conn().MaxPayload()), repliesConfig(o), deadLettersConfig(o), queuesConfig(o), auditConfig(o),
		ownerAuditConfig(o),
	} {
		checks[want.Name] = func(have jetstream.StreamConfig) error { return checkStream(have, want) }
	}
	for _, want := range bucketConfigs(o) {
		checks["KV_"+want.Bucket] = func(have jetstream.StreamConfig) error { return checkBucket(want.Bucket, have) }
	}
	for _, size := range Sizes() {
		all = append(all, wantedStream{size, checks[size.Stream]})
	}
	return all
}

// stream adds what is done to one stream.
func (p *planner) stream(ctx context.Context, want wantedStream) error {
	name, o := want.size.Stream, p.options.withDefaults()
	stream, err := p.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		p.bytes += o.sizeOf(name)
		p.add("create stream %s: %s, max_bytes %d, replicas %d", name, want.size.Content, o.sizeOf(name), o.Replicas)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	if want.check != nil {
		if err := want.check(info.Config); err != nil {
			return err
		}
	}
	_, what, err := p.options.resized(want.size, info)
	if err != nil {
		return err
	}
	if what != "" {
		p.add("change stream %s: %s", name, what)
	}
	if name == schemas.StreamEvents {
		return p.partitions(info.Config)
	}
	return nil
}

func (p *planner) partitions(have jetstream.StreamConfig) error {
	n, err := toRepartition(have, p.options.Partitions)
	if err == nil && n > 0 {
		p.add("change stream %s: partitions %d to %d", have.Name, n, p.options.Partitions)
	}
	return err
}

// room returns an error when the account does not have the room for what is missing. One whose limits cannot be read may
// have it.
func (p *planner) room(ctx context.Context) error {
	replicas := int64(p.options.withDefaults().Replicas)
	limits, err := accountTier(ctx, p.js, int(replicas))
	if err != nil || p.bytes == 0 || limits.Limits.MaxStore < 0 {
		return nil //nolint:nilerr // the limits are not known
	}
	if free := limits.Limits.MaxStore - int64(limits.ReservedStore); p.bytes*replicas > free {
		return fmt.Errorf("the streams that are missing ask for %d bytes in %d replicas, the account allows %d bytes of which %d "+
			"are not reserved yet: set their --…-max-bytes lower, or raise the account's limit", p.bytes, replicas,
			limits.Limits.MaxStore, max(free, 0))
	}
	return nil
}

// engine adds the consumers that the engine of a tenant lacks.
func (p *planner) engine(ctx context.Context, tenant string) error {
	if !schemas.IsToken(tenant) {
		return errTenantOfEngine
	}
	for _, reads := range engineReads(tenant) {
		err := checkEngine(ctx, p.js, reads.stream, tenant, reads.filter)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			p.add("create consumer %s of stream %s", tenant, reads.stream)
		case err != nil:
			return fmt.Errorf("consumer %s of stream %s: %w", tenant, reads.stream, err)
		}
	}
	return nil
}
