package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/transient"
)

//go:generate go test -count=1 -run ^TestDocs_CommandLine$ . -update

// group returns a command that has only subcommands.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// frame are the options that tools have in common.
type frame struct {
	output      format
	timeout     time.Duration
	dryRun, yes bool
}

// offline adds the options of a tool that connects neither to NATS nor to Temporal.
func (f *frame) offline(cmd *cobra.Command) {
	f.common(cmd, "for the tools that connect to NATS or Temporal; this one does not")
}

// connects adds the options of a tool that connects to NATS or Temporal.
func (f *frame) connects(cmd *cobra.Command) {
	f.common(cmd, "how long to wait for a server that does not answer, or is too busy to")
}

// common adds the options of every tool, so that scripts can pass them to each.
func (f *frame) common(cmd *cobra.Command, timeout string) {
	f.output = formatText
	cmd.Flags().Var(&f.output, "output", "text, or json: one JSON document on standard output, also for an error")
	completes(cmd, "output", formats()...)
	cmd.Flags().DurationVar(&f.timeout, "connect-timeout", 5*time.Second, timeout)
}

// changes adds the options of a tool that changes something, and confirms it.
func (f *frame) changes(cmd *cobra.Command) {
	f.confirmed(cmd, "skip the confirmation; required without a terminal")
}

// adds sets the options of a tool that adds something, and asks for a confirmation on a terminal only.
func (f *frame) adds(cmd *cobra.Command) {
	f.confirmed(cmd, "skip the confirmation, which is asked for on a terminal only")
}

func (f *frame) confirmed(cmd *cobra.Command, yes string) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, yes)
}

// completes lets shells complete the value of a flag, which can have these values only.
func completes(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the command does not have this flag
	}
	if err := cmd.Flags().SetAnnotation(flag, allowed, values); err != nil {
		panic(err)
	}
}

// print prints the result of a tool: the document, or its text.
func (f *frame) print(cmd *cobra.Command, document any, text func(out io.Writer) error) error {
	if f.output == formatJSON {
		return printJSON(cmd.OutOrStdout(), document)
	}
	return text(cmd.OutOrStdout())
}

// printed prints the result of a tool in one line of text.
func (f *frame) printLine(cmd *cobra.Command, document any, format string, args ...any) error {
	return f.print(cmd, document, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, format+"\n", args...)
		return err
	})
}

// confirm asks on a terminal whether to do something, which begins with a verb. Without --yes and without a terminal the
// error is that nothing was done.
func (f *frame) confirm(cmd *cobra.Command, format string, args ...any) error {
	if !f.yes && !ioOf(cmd).Terminal {
		return problem(kindRefused, "not confirmed, nothing was done: "+format, args...).
			do("add --yes, or --dry-run to see what would be done")
	}
	return f.ask(cmd, format, args...)
}

// asks reports whether the tool asks before it does something.
func (f *frame) asks(cmd *cobra.Command) bool { return !f.yes && ioOf(cmd).Terminal }

// ask is confirm for a tool that does not need --yes without a terminal.
func (f *frame) ask(cmd *cobra.Command, format string, args ...any) error {
	if !f.asks(cmd) {
		return nil
	}
	world, what := ioOf(cmd), fmt.Sprintf(format, args...)
	fmt.Fprintf(world.Err, "%s? [y/N] ", what)
	answer, err := bufio.NewReader(world.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return problem(kindRefused, "not confirmed, nothing was done: %s", what)
	}
	return nil
}

// retry repeats what reads from NATS or Temporal, while the server is away or busy.
func (f *frame) retry(ctx context.Context, read func(context.Context) error) error {
	return transient.Retry(ctx, f.timeout, read)
}

// connected runs a tool's work on a connection to NATS. Missing streams are an error immediately: waiting for them would
// hang without a message, and creating them here would fix their partitions and sizes by accident.
func connected(cmd *cobra.Command, s *settings, work func(ctx context.Context, js bus.JetStream) error) error {
	if err := s.environment(cmd); err != nil {
		return err
	}
	connecting, cancel := context.WithTimeout(cmd.Context(), s.timeout)
	defer cancel()
	nc, js, err := bus.Connect(connecting, s.cfg.Login(), "hookturn-"+cmd.Name(), s.cfg.Log)
	if err != nil {
		return err
	}
	defer nc.Close()
	err = s.retry(cmd.Context(), func(ctx context.Context) error { return bus.Ready(ctx, js) })
	if err != nil && !transient.Is(err) && !natsclient.IsDenied(err) {
		return fmt.Errorf("streams of hookturn are missing in nats: %w: run \"starter setup\" once", err)
	}
	if err != nil {
		return err
	}
	return work(cmd.Context(), js)
}

// connectedTemporal runs a tool's work on a connection to Temporal.
func connectedTemporal(cmd *cobra.Command, s *settings, work func(ctx context.Context, c client.Client) error) error {
	if err := s.everything(cmd); err != nil {
		return err
	}
	return dialedTemporal(cmd, s, work)
}

// dialedTemporal is connectedTemporal for settings that everything has set.
func dialedTemporal(cmd *cobra.Command, s *settings, work func(ctx context.Context, c client.Client) error) error {
	s.cfg.Temporal.Namespace = cmp.Or(s.cfg.Temporal.Namespace, client.DefaultNamespace)
	connecting, cancel := context.WithTimeout(cmd.Context(), s.timeout)
	defer cancel()
	c, err := app.OpenTemporal(connecting, s.cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	return work(cmd.Context(), c)
}
