package cli

import (
	"cmp"
	"context"
	"sync"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
)

// knows returns a function that reports whether the conversation of a dead letter's event has answered it and knows it
// still. It connects to Temporal when the first such reply is found: events of unknown bots have none. done disconnects.
func (r *redriveTool) knows(cmd *cobra.Command, streams bus.Streams) (
	known func(context.Context, bus.DeadLetter) (bool, error), done func(),
) {
	var opened client.Client
	temporal := sync.OnceValues(func() (client.Client, error) {
		if err := r.everything(cmd); err != nil {
			return nil, err
		}
		r.cfg.Temporal.Namespace = cmp.Or(r.cfg.Temporal.Namespace, client.DefaultNamespace)
		ctx, cancel := context.WithTimeout(cmd.Context(), r.timeout)
		defer cancel()
		var err error
		opened, err = app.OpenTemporal(ctx, r.cfg)
		return opened, err
	})
	known = func(ctx context.Context, letter bus.DeadLetter) (bool, error) {
		return (&inspect.Inspector{Streams: streams}).Knows(ctx, letter, temporal)
	}
	return known, func() {
		if opened != nil {
			opened.Close()
		}
	}
}

// unknownTo returns an error when a dead letter's event is known to its conversation: replaying it would change nothing, and
// delete the dead letter.
func (r *redriveTool) unknownTo(ctx context.Context, cmd *cobra.Command, js bus.JetStream, letter bus.DeadLetter) error {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return err
	}
	known, done := r.knows(cmd, streams)
	defer done()
	is, err := known(ctx, letter)
	if err != nil {
		return err
	}
	if is {
		return problem(kindRefused, "nothing was done: dead letter %d: %s", letter.Sequence, inspect.Known).do(inspect.KnownHint)
	}
	return nil
}
