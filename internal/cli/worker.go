package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/step"
)

// WorkerCommand returns the program "worker".
func WorkerCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the workflows and activities of hookturn",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			defer followLevel(s.level, s.cfg.Log)()
			return runWorker(cmd.Context(), s.cfg)
		},
		Version: app.Build.String(),
	}
	s.process(cmd.Flags())
	cmd.Flags().StringSliceVar(&s.cfg.TaskQueues, "task-queues", []string{step.QueueMain},
		"task queues to poll: "+step.QueueMain+", "+step.QueueCode)
	s.deployment(cmd.Flags())
	s.sandbox(cmd.Flags())
	return cmd
}

func runWorker(ctx context.Context, cfg app.Config) error {
	w, err := app.StartWorker(ctx, cfg)
	if err != nil {
		return err
	}
	cfg.Log.InfoContext(ctx, "worker started", "task_queues", cfg.TaskQueues, "admin", w.AdminAddr(), "version", app.Version,
		"revision", app.Build.Revision)
	var fatal error
	select {
	case <-ctx.Done():
	case fatal = <-w.Fatal():
		fatal = fmt.Errorf("worker failed: %w", fatal)
	}
	cfg.Log.InfoContext(ctx, "worker stopping, running steps may finish", "timeout", cfg.StopTimeout)
	if err := w.Stop(context.WithoutCancel(ctx)); err != nil {
		cfg.Log.WarnContext(ctx, "stopping worker failed in part", "error", err)
	}
	return fatal
}
