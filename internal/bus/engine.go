package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// EnsureEngine creates the consumers by which the engine of a tenant reads its stored replies and dead letters: durable
// pull consumers with the tenant's name. An engine may use them and cannot create any (internal/permissions). A consumer
// that exists stays as it is.
func EnsureEngine(ctx context.Context, js jetstream.JetStream, tenant string) error {
	if !schemas.IsToken(tenant) {
		return errTenantOfEngine
	}
	for _, reads := range engineReads(tenant) {
		_, err := js.CreateConsumer(ctx, reads.stream, jetstream.ConsumerConfig{
			Durable: tenant, Description: "engine of tenant " + tenant, FilterSubject: reads.filter,
			AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		})
		if errors.Is(err, jetstream.ErrConsumerExists) || errors.Is(err, jetstream.ErrConsumerNameAlreadyInUse) {
			err = checkEngine(ctx, js, reads.stream, tenant, reads.filter)
		}
		if err != nil {
			return fmt.Errorf("create consumer %s of stream %s: %w", tenant, reads.stream, err)
		}
	}
	return nil
}

var errTenantOfEngine = errors.New(
	"invalid tenant of an engine: expected [A-Za-z0-9_-]{1,64}: check --engines or HOOKTURN_ENGINES")

// engineRead is a stream that the engine of a tenant reads, and the subjects that are the tenant's.
type engineRead struct{ stream, filter string }

func engineReads(tenant string) []engineRead {
	return []engineRead{
		{schemas.StreamReplies, schemas.SubjectReplies + "." + tenant + ".>"},
		{schemas.StreamDeadLetters, schemas.SubjectDeadLetters + "." + tenant + ".>"},
	}
}

// WithEngines returns those tenants whose engines have the consumers that EnsureEngine creates. It asks for the names of all
// consumers of the streams, a request for each 1,024 of them, however many tenants there are.
func WithEngines(ctx context.Context, js jetstream.JetStream, tenants map[string]bool) (with []string, err error) {
	have := map[string]int{}
	streams := []string{schemas.StreamReplies, schemas.StreamDeadLetters}
	for _, stream := range streams {
		names, err := natsclient.LeaderOf(js, stream).ConsumerNames(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the consumers of stream %s: %w", stream, err)
		}
		for _, name := range names {
			if tenants[name] {
				have[name]++
			}
		}
	}
	for tenant, consumers := range have {
		if consumers == len(streams) {
			with = append(with, tenant)
		}
	}
	return with, nil
}

// checkEngine rejects a consumer of an engine's name that would read what belongs to others.
func checkEngine(ctx context.Context, js jetstream.JetStream, stream, tenant, filter string) error {
	existing, err := js.Consumer(ctx, stream, tenant)
	if err != nil {
		return err
	}
	if have := existing.CachedInfo().Config; have.FilterSubject != filter || len(have.FilterSubjects) > 0 {
		return fmt.Errorf("it exists and does not read %s alone: delete it and run \"starter setup\" again", filter)
	}
	return nil
}
