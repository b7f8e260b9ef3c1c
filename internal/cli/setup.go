package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
)

func setupCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Create streams, buckets and search attributes that are missing, and apply sizes, replicas and partitions",
		Long: "Create streams, buckets and search attributes that are missing, and apply sizes, replicas and partitions.\n" +
			"On a terminal the command prints what it would change, and asks; --dry-run prints it and ends. An existing stream\n" +
			"that would lose data is an error, also of --dry-run",
		Example: `  starter setup --engines default,acme
  starter setup --replies-max-bytes 3GiB --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.setup(cmd) },
	}
	s.connects(cmd)
	s.adds(cmd)
	s.connection(cmd.Flags())
	s.actor(cmd.Flags())
	s.streams(cmd.Flags())
	cmd.Flags().StringSliceVar(&s.cfg.Engines, "engines", []string{"default"},
		"tenants whose engines read stored replies and dead letters through a consumer with the tenant's name")
	return cmd
}

func (s *settings) setup(cmd *cobra.Command) error {
	if err := s.everything(cmd); err != nil {
		return err
	}
	s.cfg.ConnectTimeout = s.timeout
	actor, err := s.actingAs()
	if err != nil {
		return err
	}
	if s.dryRun || s.asks(cmd) {
		changes, err := app.PlanSetup(cmd.Context(), s.cfg)
		if err != nil {
			return err
		}
		if s.dryRun {
			return s.printPlan(cmd, changes)
		}
		if err := s.askToChange(cmd, changes); err != nil {
			return err
		}
	}
	if err := app.Setup(cmd.Context(), s.cfg, actor); err != nil {
		return err
	}
	return s.printLine(cmd, planned{Ready: true}, setupReady)
}

const setupReady = "streams, buckets and search attributes are ready"

// planned is the result of a setup, or of a dry run.
type planned struct {
	Ready   bool     `json:"ready"`
	Changes []string `json:"changes,omitempty"` // that a setup would make
}

func (s *settings) printPlan(cmd *cobra.Command, changes []string) error {
	return s.print(cmd, planned{Ready: len(changes) == 0, Changes: changes}, func(out io.Writer) error {
		if len(changes) == 0 {
			_, err := fmt.Fprintln(out, setupReady)
			return err
		}
		return writePlan(out, changes)
	})
}

func writePlan(out io.Writer, changes []string) error {
	for _, change := range changes {
		if _, err := fmt.Fprintln(out, "would", line(change)); err != nil {
			return err
		}
	}
	return nil
}

// askToChange prints what a setup would change and asks whether to do it. Without a change there is no question.
func (s *settings) askToChange(cmd *cobra.Command, changes []string) error {
	if len(changes) == 0 {
		return nil
	}
	if err := writePlan(cmd.ErrOrStderr(), changes); err != nil {
		return err
	}
	return s.ask(cmd, "make %d changes", len(changes))
}
