package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/schemas"
)

func stepsCommand() *cobra.Command {
	cmd := group("steps", "List and repeat steps that ended badly")
	cmd.AddCommand(listStepsCommand(), repeatStepsCommand())
	return cmd
}

// stepFilter is a filter of steps on the command line.
type stepFilter struct {
	redrive.StepFilter

	outcome      string
	since, until when
}

func (f *stepFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	cmd.Flags().StringVar(&f.Bot, "bot", "", "only this bot")
	cmd.Flags().StringVar(&f.Conversation, "conversation", "", "only this conversation id")
	cmd.Flags().StringVar(&f.Step, "step", "", "only this step")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only this error code")
	completesKinds(cmd, "kind")
	cmd.Flags().StringVar(&f.outcome, "reason", "", "only this outcome: bot_break, failure or undelivered")
	completes(cmd, "reason", "bot_break", "failure", "undelivered")
	cmd.Flags().Var(&f.since, "since", "only those that ended at this time or later: a time ago, or a moment")
	cmd.Flags().Var(&f.until, "until", "only those that ended before this time")
}

func stepFilters() []string {
	return []string{"tenant", "bot", "conversation", "step", "kind", "reason", "since", "until"}
}

func (f *stepFilter) complete() error {
	f.Outcome, f.Since, f.Until = schemas.Outcome(f.outcome), f.since.Time, f.until.Time
	return checkFilter(f.BotID)
}

// withSteps runs a command's work on the steps that a filter chooses.
func withSteps(cmd *cobra.Command, s *settings, f redrive.StepFilter,
	work func(context.Context, bus.JetStream, bus.Streams, *redrive.Steps, []redrive.Step) error,
) error {
	return connectedTemporal(cmd, s, func(_ context.Context, t client.Client) error {
		return connected(cmd, s, func(ctx context.Context, js bus.JetStream) error {
			streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
			if err != nil {
				return err
			}
			steps := &redrive.Steps{
				Inspector: &inspect.Inspector{
					Temporal: t, Namespace: s.cfg.Temporal.Namespace, Converter: s.cfg.Temporal.DataConverter, Streams: streams,
				},
				Publisher: bus.NewPublisher(js), Filter: f,
			}
			var list []redrive.Step
			if err := s.retry(ctx, func(ctx context.Context) (err error) {
				list, err = steps.List(ctx)
				return err
			}); err != nil {
				return err
			}
			if len(list) == 0 {
				return problem(kindNotFound, "no steps match")
			}
			return work(ctx, js, streams, steps, list)
		})
	})
}

func listStepsCommand() *cobra.Command {
	var s settings
	var f stepFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the steps that ended in bot_break, failure or undelivered, oldest first",
		Long: "List the steps that ended in bot_break, failure or undelivered, oldest first, from the stored replies\n" +
			"(72 hours). A step that a late answer or a repetition has brought to a good end is not listed.",
		Example: "  starter steps list --bot shop --since 24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return withSteps(cmd, &s, f.StepFilter, func(
				_ context.Context, _ bus.JetStream, _ bus.Streams, _ *redrive.Steps, list []redrive.Step,
			) error {
				return s.print(cmd, list, func(out io.Writer) error { return writeSteps(out, list) })
			})
		},
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	s.payloads(cmd.Flags())
	f.flags(cmd)
	return cmd
}

func writeSteps(out io.Writer, list []redrive.Step) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tTENANT\tBOT\tCONVERSATION\tSTEP\tEVENT\tOUTCOME\tKIND\tREPEATED")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n",
			moment(&s.Time), s.Tenant, s.Bot, line(s.Conversation), line(s.Step),
			line(s.EventID), s.Outcome, s.Kind, s.Repeated)
	}
	return w.Flush()
}

func repeatStepsCommand() *cobra.Command {
	var r redriveTool
	var f stepFilter
	cmd := &cobra.Command{
		Use:   "repeat",
		Short: "Run steps that ended badly again",
		Long: "Run steps that ended in bot_break, failure or undelivered again, with the bot files and secrets of now.\n" +
			"Each becomes an event with the id <id>/r<N>; the endpoint receives the same webhook-id, and the outcome is\n" +
			"published as hookturn.step.late. The event comes from the history of the run: one that Temporal " +
			"does not keep any more, or whose\n" +
			"latest useful moment is over, is left out, then the status is 6. When it is interrupted, the same command continues.",
		Example: `  starter steps repeat --bot shop --kind status --since 1h --dry-run
  starter steps repeat --bot shop --since 1h --rate 5 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := r.selection(cmd, stepFilters()...)
			if err == nil {
				err = f.complete()
			}
			if err != nil {
				return err
			}
			return r.repeatSteps(cmd, f.StepFilter, name)
		},
	}
	r.flags(cmd)
	r.payloads(cmd.Flags())
	f.flags(cmd)
	return cmd
}

func (r *redriveTool) repeatSteps(cmd *cobra.Command, f redrive.StepFilter, name string) error {
	return withSteps(cmd, &r.settings, f, func(
		ctx context.Context, js bus.JetStream, streams bus.Streams, steps *redrive.Steps, list []redrive.Step,
	) error {
		if r.dryRun {
			c, err := steps.Count(ctx, list)
			if err != nil {
				return err
			}
			return r.count(cmd, c, "steps")
		}
		if err := r.confirm(cmd, "run %d steps again", len(list)); err != nil {
			return err
		}
		what := audit.Change{BotID: f.BotID, Action: schemas.AuditStepsRepeat, Filter: filterOf(cmd, stepFilters()...)}
		return r.audited(ctx, js, what, func(op *audit.Operation, did *audit.Outcome) error {
			p, err := steps.Run(ctx, r.options(streams, op), name, list)
			did.Counts = p.Counts()
			return r.finish(cmd, p, "steps", err)
		})
	})
}
