package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
)

// StarterCommand returns the program "starter"; without a subcommand it executes run.
func StarterCommand() *cobra.Command {
	root := runCommand("starter")
	root.Short = "Send events from NATS to Temporal"
	root.Version = app.Build.String()
	root.AddCommand(runCommand("run"), sendCommand(), tailCommand(), validateCommand(), secretCommand(), deadlettersCommand(),
		deploymentsCommand(), setupCommand(), runScriptCommand(), botsCommand(), checkCommand(), verifySignatureCommand(),
		eraseCommand(), chaosCommand(), conversationsCommand(),
		endpointsCommand(), stepsCommand(), auditCommand(), schemaCommand())
	return root
}

func runCommand(use string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   use,
		Short: "Send events from NATS to Temporal (default)",
		Args:  onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			defer followLevel(s.level, s.cfg.Log)()
			return runStarter(cmd.Context(), s.cfg)
		},
	}
	s.process(cmd.Flags())
	s.gateway(cmd.Flags())
	s.console(cmd.Flags())
	cmd.Flags().IntVar(&s.cfg.MaxInFlight, "max-in-flight", 512, "events sent to Temporal at a time, of all tenants together")
	cmd.Flags().Int64Var(&s.cfg.EventMemory, "event-memory", 128<<20, "maximum bytes of event bodies in memory")
	return cmd
}

func runStarter(ctx context.Context, cfg app.Config) error {
	st, err := app.StartStarter(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.Log.InfoContext(ctx, "starter started", "gateway", st.GatewayAddr(), "admin", st.AdminAddr(), "console",
		st.ConsoleAddr(), "version", app.Version, "revision", app.Build.Revision)
	var fatal error
	select {
	case <-ctx.Done():
	case fatal = <-st.Fatal():
		fatal = fmt.Errorf("starter failed: %w", fatal)
	}
	cfg.Log.InfoContext(ctx, "starter stopping, events in hand may reach their workflows", "timeout", cfg.StopTimeout)
	if err := st.Stop(context.WithoutCancel(ctx)); err != nil {
		cfg.Log.WarnContext(ctx, "stopping starter failed in part", "error", err)
	}
	return fatal
}
