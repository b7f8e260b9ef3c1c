package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bot"
)

// StarterCommand is the program "starter": run is what it does without a subcommand.
func StarterCommand() *cobra.Command {
	root := runCommand("starter")
	root.Short = "Take events from NATS into Temporal"
	root.Version = app.Version
	root.AddCommand(runCommand("run"), sendCommand(), tailCommand(), validateCommand(), deadlettersCommand(),
		deploymentsCommand(), setupCommand(), runScriptCommand())
	return root
}

func runCommand(use string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   use,
		Short: "Hand events from NATS to Temporal (default)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			return runStarter(cmd.Context(), s.cfg)
		},
	}
	s.process(cmd.Flags())
	s.gateway(cmd.Flags())
	cmd.Flags().IntVar(&s.cfg.MaxInFlight, "max-in-flight", 512, "events handed over at a time")
	return cmd
}

func runStarter(ctx context.Context, cfg app.Config) error {
	st, err := app.StartStarter(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.Log.Info("starter runs", "gateway", st.GatewayAddr(), "admin", st.AdminAddr(), "version", app.Version)
	var fatal error
	select {
	case <-ctx.Done():
	case fatal = <-st.Fatal():
		fatal = fmt.Errorf("the starter cannot go on: %w", fatal)
	}
	cfg.Log.Info("starter stops: events in hand may reach their workflows", "within", cfg.StopTimeout)
	if err := st.Stop(context.WithoutCancel(ctx)); err != nil {
		cfg.Log.Warn("not everything stopped cleanly", "error", err)
	}
	return fatal
}

func setupCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Create streams, buckets and search attributes that are missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			if err := app.Setup(cmd.Context(), s.cfg); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "streams, buckets and search attributes are there")
			return err
		},
	}
	s.connection(cmd.Flags())
	s.streams(cmd.Flags())
	cmd.Flags().StringSliceVar(&s.cfg.Engines, "engines", []string{"default"},
		"tenants whose engines read stored replies and dead letters by a consumer of the tenant's name")
	return cmd
}

func validateCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "validate DIR",
		Short: "Check the bot files of a directory; print every error and end with status 1 when there is one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.environment(cmd); err != nil {
				return err
			}
			options, err := app.BotOptions(s.cfg)
			if err != nil {
				return err
			}
			options.LookupEnv = ioOf(cmd).LookupEnv
			set, err := bot.Load(args[0], options)
			if err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), err)
				return errSilent
			}
			if len(set.Bots()) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "no bot files (*.yaml) in %s\n", args[0])
			}
			for _, b := range set.Bots() {
				fmt.Fprintf(cmd.OutOrStdout(), "ok: bot %s of tenant %s, %d steps\n", b.Name(), b.Tenant(), len(b.Steps()))
			}
			return nil
		},
	}
	s.egress(cmd.Flags())
	s.licences(cmd.Flags())
	s.logging(cmd.Flags())
	return cmd
}
