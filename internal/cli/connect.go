package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
)

// connected runs a tool's work on a connection to NATS. Missing streams are an error immediately: waiting for them would
// hang without a message, and creating them here would fix their partitions and sizes by accident.
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
	if err := bus.Ready(cmd.Context(), js); bus.IsDenied(err) {
		return err
	} else if err != nil {
		return fmt.Errorf("streams of hookturn are missing in nats: %w: run \"starter setup\" once", err)
	}
	return work(cmd.Context(), js)
}
