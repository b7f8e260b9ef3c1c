package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// letterFilter is a filter of dead letters on the command line.
type letterFilter struct {
	bus.DeadLetterFilter

	reason       string
	since, until when
}

func (f *letterFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	cmd.Flags().StringVar(&f.Bot, "bot", "", "only this bot")
	cmd.Flags().StringVar(&f.Conversation, "conversation", "", "only this conversation id")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only this error code")
	completesKinds(cmd, "reason")
	cmd.Flags().Var(&f.since, "since", "only those that became dead letters at this time or later: a time ago, or a moment")
	cmd.Flags().Var(&f.until, "until", "only those that became dead letters before this time")
}

func letterFilters() []string {
	return []string{"tenant", "bot", "conversation", "reason", "since", "until"}
}

func (f *letterFilter) complete() error {
	f.Reason, f.Since, f.Until = fault.Kind(f.reason), f.since.Time, f.until.Time
	return checkFilter(f.BotID)
}

// redriveTool is what the commands that repeat many events have in common.
type redriveTool struct {
	settings

	rate float64
	all  bool
}

func (r *redriveTool) flags(cmd *cobra.Command) {
	r.connects(cmd)
	r.connection(cmd.Flags())
	r.changes(cmd)
	r.actor(cmd.Flags())
	cmd.Flags().Float64Var(&r.rate, "rate", 10, "at most this many events a second: live traffic goes first")
	cmd.Flags().BoolVar(&r.all, "all", false, "without a filter: all of them")
}

// selection returns the filter of a command as text, which identifies a redrive: the flags as they were written.
func (r *redriveTool) selection(cmd *cobra.Command, names ...string) (string, error) {
	if r.rate <= 0 {
		return "", problem(kindUsage, "invalid --rate: must be above 0")
	}
	var chosen []string
	cmd.Flags().Visit(func(f *pflag.Flag) { // in the order of their names
		if slices.Contains(names, f.Name) {
			chosen = append(chosen, f.Name+"="+f.Value.String())
		}
	})
	if (len(chosen) == 0) != r.all {
		return "", problem(kindUsage, "expected either a filter or --all")
	}
	return strings.Join(chosen, " "), nil
}

// options returns the options of a redrive, with one line in the log for each event.
func (r *redriveTool) options(streams bus.Streams, op *audit.Operation) redrive.Options {
	return redrive.Options{
		Rate: r.rate, Retry: r.retry, Stored: store.NewRedrives(streams),
		Each: func(sequence uint64, left string) { op.Note("sequence", sequence, "left_out", left) },
	}
}

// count prints what a redrive would do.
func (r *redriveTool) count(cmd *cobra.Command, c redrive.Count, what string) error {
	return r.print(cmd, c, func(out io.Writer) error {
		fmt.Fprintf(out, "would repeat %d %s\n", redrive.Total(c.ByReason), what)
		writeCounts(out, "", c.ByReason)
		writeCounts(out, "left out: ", c.LeftOut)
		return nil
	})
}

func writeCounts(out io.Writer, prefix string, counts map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "  %s%s %d\n", prefix, line(reason), counts[reason])
	}
}

// finish prints how far a redrive has come, and ends the tool.
func (r *redriveTool) finish(cmd *cobra.Command, p *redrive.Progress, what string, failed error) error {
	if p == nil {
		return failed
	}
	err := r.print(cmd, p, func(out io.Writer) error {
		if p.Resumed {
			fmt.Fprintf(out, "continued the redrive of %s, which ends at what was there then\n", p.Started.Format(time.RFC3339))
		}
		fmt.Fprintf(out, "repeated %d %s\n", redrive.Total(p.Done), what)
		writeCounts(out, "", p.Done)
		writeCounts(out, "left out: ", p.LeftOut)
		return nil
	})
	switch {
	case err != nil:
		return err
	case failed != nil && r.output == formatJSON:
		return printed(kindPartly)
	case failed != nil:
		return problem(kindPartly, "%w", failed).do("run the same command again to continue")
	case len(p.LeftOut) > 0:
		return printed(kindPartly)
	}
	return nil
}

func replayCommand() *cobra.Command {
	var r redriveTool
	var f letterFilter
	cmd := &cobra.Command{
		Use:   "replay [SEQ]",
		Short: "Publish the events of dead letters again, of one or of all that the filters choose",
		Long: "Publish the events of dead letters again, under their own ids and with the bot files and secrets of now, and\n" +
			"delete the dead letters: of one, or of all that the filters choose. Events of a conversation keep their order.\n" +
			"Left out are events whose latest useful moment is over (expired), and those that their conversation has answered\n" +
			"and knows, so that it would not answer them again (known_to_conversation); then the status is 6, or 4 for a single\n" +
			"one. When it is interrupted, the same command continues.",
		Example: `  starter deadletters replay 1 --yes
  starter deadletters replay --reason unknown_bot --dry-run
  starter deadletters replay --bot shop --since 24h --rate 50 --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return r.replayOne(cmd, args[0])
			}
			name, err := r.selection(cmd, letterFilters()...)
			if err == nil {
				err = f.complete()
			}
			if err != nil {
				return err
			}
			return r.replayAll(cmd, f.DeadLetterFilter, name)
		},
	}
	r.flags(cmd)
	f.flags(cmd)
	return cmd
}

func (r *redriveTool) replayAll(cmd *cobra.Command, f bus.DeadLetterFilter, name string) error {
	return connected(cmd, &r.settings, func(ctx context.Context, js bus.JetStream) error {
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		if err != nil {
			return err
		}
		known, done := r.knows(cmd, streams)
		defer done()
		letters := &redrive.Letters{Stored: bus.NewDeadLetters(js, streams), Filter: f, Known: known}
		var c redrive.Count
		if err := r.retry(ctx, func(ctx context.Context) (err error) {
			c, err = letters.Count(ctx)
			return err
		}); err != nil {
			return err
		}
		n := redrive.Total(c.ByReason)
		if n+redrive.Total(c.LeftOut) == 0 {
			return problem(kindNotFound, "no dead letters match")
		}
		if r.dryRun {
			return r.count(cmd, c, "dead letters")
		}
		if err := r.confirm(cmd, "publish the events of %d dead letters again", n); err != nil {
			return err
		}
		what := audit.Change{
			BotID: f.BotID, Action: schemas.AuditDeadLettersReplay, Filter: filterOf(cmd, letterFilters()...),
		}
		return r.audited(ctx, js, what, func(op *audit.Operation, did *audit.Outcome) error {
			p, err := letters.Run(ctx, r.options(streams, op), name)
			did.Counts = p.Counts()
			return r.finish(cmd, p, "dead letters", err)
		})
	})
}

func (r *redriveTool) replayOne(cmd *cobra.Command, arg string) error {
	return letter(cmd, &r.settings, arg, func(
		ctx context.Context, js bus.JetStream, letters *bus.DeadLetters, seq uint64,
	) error {
		l, err := letters.Show(ctx, seq)
		if err != nil {
			return err
		}
		if err := r.unknownTo(ctx, cmd, js, l); err != nil {
			return err
		}
		if r.dryRun {
			return r.printLine(cmd, map[string]any{"sequence": seq},
				"would publish dead letter %d again as an event of %s", seq, l.Subject)
		}
		if err := r.confirm(cmd, "publish dead letter %d again as an event of %s", seq, l.Subject); err != nil {
			return err
		}
		what := audit.Change{
			BotID: audit.Recordable(l.BotID), Action: schemas.AuditDeadLettersReplay, Objects: []string{strconv.FormatUint(seq, 10)},
		}
		var stored uint64
		if err := r.audited(ctx, js, what, func(_ *audit.Operation, did *audit.Outcome) (err error) {
			stored, err = letters.Replay(ctx, seq)
			if err == nil {
				did.Counts = map[string]int{string(l.Reason): 1}
			}
			return err
		}); err != nil {
			return err
		}
		return r.printLine(cmd, map[string]any{"sequence": seq, "event": stored}, "dead letter %s published again as event %d",
			strconv.FormatUint(seq, 10), stored)
	})
}
