package bus

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// metadataMaxBytes keeps the bound of the stream of events while it takes no events.
	metadataMaxBytes = "hookturn-max-bytes"
	drainPoll        = 100 * time.Millisecond
)

// Repartition changes the number of partitions of the stream of events while starters run and engines publish. Events that
// are stored keep their partition, so the two layouts must not meet: the stream rejects new events as if it was full until
// the starters have emptied it, and takes the next event in the new layout. When that does not happen before ctx ends,
// nothing is changed. A call that was killed is finished by the next one.
func Repartition(ctx context.Context, js jetstream.JetStream, partitions int) (changed bool, err error) {
	stream, err := js.Stream(ctx, schemas.StreamEvents)
	if err != nil {
		return false, fmt.Errorf("open stream %s: %w", schemas.StreamEvents, err)
	}
	config := stream.CachedInfo().Config
	have, err := toRepartition(config, partitions)
	if err != nil {
		return false, err
	}
	open := reopened(config)
	if have == 0 {
		if config.Metadata[metadataMaxBytes] == "" {
			return false, nil
		}
		_, err := js.UpdateStream(ctx, open)
		return false, err
	}
	last := context.WithoutCancel(ctx)
	if err := closeAndDrain(ctx, js, stream, open); err != nil {
		// The server may have closed the stream even when its answer is missing.
		if _, failed := js.UpdateStream(last, open); failed != nil {
			err = fmt.Errorf("%w; opening it again failed too, run the command again: %w", err, failed)
		}
		return false, err
	}
	open.SubjectTransform = partitionTransform(partitions)
	if _, err := js.UpdateStream(last, withWaitingMax(open)); err != nil {
		return false, fmt.Errorf("change the partitions of stream %s: %w: run the command again", config.Name, err)
	}
	return true, nil
}

// toRepartition returns how many partitions a stream has that shall have another number; 0 when it stays as it is.
func toRepartition(config jetstream.StreamConfig, partitions int) (have int, err error) {
	have, partitioned, err := partitionsOf(config)
	switch {
	case err != nil:
		return 0, err
	case partitions == 0, have == partitions && partitioned:
		return 0, nil
	case config.Discard != jetstream.DiscardNew:
		return 0, fmt.Errorf("stream %s drops its oldest events when it is full: set discard to new", config.Name)
	}
	return have, nil
}

// reopened returns the configuration of a stream without the bound that closes it.
func reopened(config jetstream.StreamConfig) jetstream.StreamConfig {
	config.Metadata = maps.Clone(config.Metadata)
	if before, err := strconv.ParseInt(config.Metadata[metadataMaxBytes], 10, 64); err == nil {
		config.MaxBytes = before
	}
	delete(config.Metadata, metadataMaxBytes)
	return config
}

// closed returns the configuration of a stream that takes no more messages.
func closed(config jetstream.StreamConfig) jetstream.StreamConfig {
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[metadataMaxBytes] = strconv.FormatInt(config.MaxBytes, 10)
	config.MaxBytes = 1
	return config
}

func closeAndDrain(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, open jetstream.StreamConfig) error {
	if _, err := js.UpdateStream(ctx, closed(open)); err != nil {
		return fmt.Errorf("close stream %s: %w", open.Name, err)
	}
	return drained(ctx, stream)
}

// drained waits until a stream is empty.
func drained(ctx context.Context, stream jetstream.Stream) error {
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	var left uint64
	for {
		info, err := stream.Info(ctx)
		if err == nil {
			if left = info.State.Msgs; left == 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stream %s still holds %d events, nothing was changed: check that starters run and deliver them",
				schemas.StreamEvents, left)
		case <-ticker.C:
		}
	}
}
