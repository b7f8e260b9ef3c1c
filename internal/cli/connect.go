package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
)

// connected runs a command's work on a connection to NATS.
func connected(cmd *cobra.Command, s *settings, work func(ctx context.Context, js bus.JetStream) error) error {
	if err := s.environment(cmd); err != nil {
		return err
	}
	nc, js, err := bus.Connect(cmd.Context(), s.cfg.NATSURL, s.cfg.NATSCreds, "hookturn-"+cmd.Name(), s.cfg.Log)
	if err != nil {
		return err
	}
	defer nc.Close()
	return work(cmd.Context(), js)
}
