package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/transient"
	"github.com/hookturn/hookturn/schemas"
)

// awaitDeadLetter waits for a dead letter of a bot with a reason and, byte for byte, a payload.
func awaitDeadLetter(js bus.JetStream, bot, reason string, payload []byte) error {
	return awaitLetterThat(js, bot, reason, func(data []byte) bool { return bytes.Equal(data, payload) })
}

// awaitLetter waits for any dead letter of a bot with a reason.
func awaitLetter(js bus.JetStream, bot, reason string) error {
	return awaitLetterThat(js, bot, reason, func([]byte) bool { return true })
}

// awaitLetterThat waits for a dead letter whose payload fits. A request that a busy server does not answer in time is sent
// again.
func awaitLetterThat(js bus.JetStream, bot, reason string, fits func(data []byte) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var streams bus.Streams
	if err := transient.Retry(ctx, patience, func(ctx context.Context) (err error) {
		streams, err = bus.Setup(ctx, js, bus.StreamOptions{})
		return err
	}); err != nil {
		return err
	}
	stored := bus.NewDeadLetters(js, streams)
	filter := bus.DeadLetterFilter{BotID: schemas.BotID{Bot: bot}, Reason: fault.Kind(reason), Limit: 1000}
	for {
		letters, err := readDeadLetters(ctx, stored, filter)
		if err != nil && !transient.Is(err) {
			return err
		}
		if slices.ContainsFunc(letters, func(l invariants.DeadLetter) bool { return fits(l.Data) }) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no dead letter %s of bot %s with this payload", reason, bot), err)
		}
	}
}

func contextOf(ts *testscript.TestScript) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ts.Defer(cancel)
	return ctx
}
