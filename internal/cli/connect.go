package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
)

// connected runs a tool's work on a connection to NATS. Streams that are not there are an error at once: waiting for them
// would hang without a word, and making them here would settle their partitions and sizes in passing.
func connected(cmd *cobra.Command, s *settings, work func(ctx context.Context, js bus.JetStream) error) error {
	if err := s.environment(cmd); err != nil {
		return err
	}
	nc, js, err := bus.Connect(cmd.Context(), s.cfg.NATSURL, s.cfg.NATSCreds, "hookturn-"+cmd.Name(), s.cfg.Log,
		bus.WithInboxPrefix(s.cfg.NATSInboxPrefix))
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := bus.Ready(cmd.Context(), js); err != nil {
		return fmt.Errorf("nats is not ready for hookturn: %w: run \"starter setup\" once", err)
	}
	return work(cmd.Context(), js)
}
