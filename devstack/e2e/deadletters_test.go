package e2e

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
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

func awaitLetterThat(js bus.JetStream, bot, reason string, fits func(data []byte) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return err
	}
	letters := bus.NewDeadLetters(js, streams)
	for {
		list, err := letters.List(ctx, bus.DeadLetterFilter{BotID: schemas.BotID{Bot: bot}, Reason: fault.Kind(reason), Limit: 1000})
		if err != nil {
			return err
		}
		for _, l := range list {
			full, err := letters.Show(ctx, l.Sequence)
			if err != nil {
				return err
			}
			if fits(full.Data) {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no dead letter %s of bot %s with this payload", reason, bot)
		}
	}
}

func contextOf(ts *testscript.TestScript) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ts.Defer(cancel)
	return ctx
}
