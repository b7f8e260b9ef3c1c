package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func conversationsCommand() *cobra.Command {
	cmd := group("conversations", "List, show and cancel conversations")
	cmd.AddCommand(listConversationsCommand(), showConversationCommand(), cancelConversationsCommand())
	return cmd
}

// conversationTool is what the commands on conversations have in common.
type conversationTool struct {
	settings

	filter       inspect.Filter
	since, until when
	ui           string
}

func (c *conversationTool) flags(cmd *cobra.Command) {
	c.connects(cmd)
	c.logging(cmd.Flags())
	c.payloads(cmd.Flags())
	cmd.Flags().StringVar(&c.ui, "ui-url", "http://127.0.0.1:8233", "URL of the Temporal UI, for links")
}

func (c *conversationTool) filters(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.filter.Tenant, "tenant", "", "only this tenant")
	f.StringVar(&c.filter.Bot, "bot", "", "only this bot")
	f.StringVar(&c.filter.User, "user", "", "only this user id")
	f.StringVar(&c.filter.Outcome, "outcome", "", "only runs whose latest outcome is this one; also waiting or callback")
	completes(cmd, "outcome", outcomes()...)
	f.Var(&c.since, "since", "only those that were open at this time or later: a time ago, or a moment")
	f.Var(&c.until, "until", "only those that began before this time")
	f.DurationVar(&c.filter.Busy, "busy", 0, "only those that have had an event in hand for this long")
	f.IntVar(&c.filter.Limit, "limit", 100, "at most this many")
}

func outcomes() []string {
	all := []string{step.OutcomeWaiting, step.OutcomeCallback}
	for _, o := range schemas.Outcomes() {
		all = append(all, string(o))
	}
	return all
}

// selection returns the filter of the flags.
func (c *conversationTool) selection() (inspect.Filter, error) {
	if c.filter.Busy < 0 || c.filter.Limit < 1 {
		return c.filter, problem(kindUsage, "invalid --busy or --limit: must not be negative or zero")
	}
	c.filter.Since, c.filter.Until = c.since.Time, c.until.Time
	return c.filter, checkFilter(c.filter.BotID)
}

// inspector returns an inspector of the runs in Temporal, without the replies.
func (c *conversationTool) inspector(t client.Client) inspect.Inspector {
	return inspect.Inspector{
		Temporal: t, Namespace: c.cfg.Temporal.Namespace, Converter: c.cfg.Temporal.DataConverter, UI: c.ui,
	}
}

// list returns the runs that the flags choose.
func (c *conversationTool) list(ctx context.Context, t client.Client, f inspect.Filter) (runs []inspect.Run, err error) {
	i := c.inspector(t)
	err = c.retry(ctx, func(ctx context.Context) (failed error) {
		runs, failed = i.List(ctx, f)
		return failed
	})
	if err == nil && len(runs) == 0 {
		err = problem(kindNotFound, "no conversations match")
	}
	return runs, err
}

func listConversationsCommand() *cobra.Command {
	var c conversationTool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the runs of conversations, the latest first",
		Long: "List the runs of conversations, and of the steps of bots without an order, the latest first.\n" +
			"With --busy: those that have had an event in hand for so long, such as a step that is repeated again and again.",
		Example: `  starter conversations list --bot shop --since 24h
  starter conversations list --busy 1s --limit 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := c.selection()
			if err != nil {
				return err
			}
			return connectedTemporal(cmd, &c.settings, func(ctx context.Context, t client.Client) error {
				runs, err := c.list(ctx, t, f)
				if err != nil {
					return err
				}
				return c.print(cmd, runs, func(out io.Writer) error { return writeRuns(out, runs) })
			})
		},
	}
	c.flags(cmd)
	c.filters(cmd)
	return cmd
}

func writeRuns(out io.Writer, runs []inspect.Run) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONVERSATION\tTENANT\tBOT\tUSER\tSTATUS\tSTARTED\tENDED\tSTEP\tOUTCOME\tFAILED\tIN HAND")
	for _, r := range runs {
		var inHand []string
		for _, h := range r.InHand {
			inHand = append(inHand, fmt.Sprintf("%s for %s", nameOf(h.Step, h.Type), time.Since(h.Since).Round(time.Second)))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
			line(r.Conversation), r.Tenant, r.Bot, line(r.User), r.Status,
			moment(&r.Started), moment(r.Ended), line(r.Step), r.Outcome, r.Failures, strings.Join(inHand, ", "))
	}
	return w.Flush()
}

// nameOf returns the step of an event, or its type when it asks for no step.
func nameOf(stepName, eventType string) string {
	if stepName == "" {
		return step.UpdateName(eventType)
	}
	return line(stepName)
}

func showConversationCommand() *cobra.Command {
	var c conversationTool
	var owner schemas.BotID
	var runs int
	cmd := &cobra.Command{
		Use:   "show CONVERSATION",
		Short: "Print what happened in one conversation: events, steps, attempts, what the user read, links to the runs",
		Long: "Print what happened in one conversation: its events and steps, each attempt with its timings,\n" +
			"what the user read, and links to the runs in the Temporal UI. The events come from the latest runs\n" +
			"in Temporal, the rest from the stored replies.",
		Example: `  starter conversations show c-42 --bot shop`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !owner.Valid() {
				return errNoToken
			}
			if runs < 1 {
				return problem(kindUsage, "invalid --runs: must be at least 1")
			}
			key := owner.WithConversation(args[0])
			return connectedTemporal(cmd, &c.settings, func(_ context.Context, t client.Client) error {
				return connected(cmd, &c.settings, func(ctx context.Context, js bus.JetStream) error {
					shown, err := c.read(ctx, t, js, key, runs)
					if err != nil {
						return err
					}
					return c.print(cmd, shown, func(out io.Writer) error { return writeConversation(out, shown) })
				})
			})
		},
	}
	c.flags(cmd)
	c.nats(cmd.Flags())
	cmd.Flags().StringVar(&owner.Tenant, "tenant", "default", "tenant of the bot")
	cmd.Flags().StringVar(&owner.Bot, "bot", "", "bot of the conversation (required)")
	cmd.Flags().IntVar(&runs, "runs", 3, "how many runs to read, the latest ones")
	_ = cmd.MarkFlagRequired("bot") // the flag exists
	return cmd
}

func (c *conversationTool) read(
	ctx context.Context, t client.Client, js bus.JetStream, key schemas.ConversationKey, runs int,
) (*inspect.Conversation, error) {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return nil, err
	}
	i := c.inspector(t)
	i.Streams = streams
	var shown *inspect.Conversation
	err = c.retry(ctx, func(ctx context.Context) (failed error) {
		shown, failed = i.Show(ctx, key, runs)
		return failed
	})
	if err == nil && shown == nil {
		err = problem(kindNotFound, "no conversation %s of bot %s of tenant %s", key.Conversation, key.Bot, key.Tenant).
			do("Temporal keeps closed runs for the retention of its namespace, NATS keeps replies for 72 hours")
	}
	return shown, err
}

func cancelConversationsCommand() *cobra.Command {
	var c conversationTool
	cmd := &cobra.Command{
		Use:   "cancel [CONVERSATION]",
		Short: "End running conversations: of one id, or all that the filters choose",
		Long: "End running conversations: of one id, or all that the filters choose. A run answers what it has in hand first,\n" +
			"and a step that waits for entities with \"cancelled\"; the next event starts a new run. A run that has ended\n" +
			"meanwhile is counted as ended, and not as not_cancelled; the status is 3 when all have.",
		Example: `  starter conversations cancel c-42 --bot shop --dry-run
  starter conversations cancel --bot shop --busy 1h --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := c.selection()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				f.Conversation = args[0]
			}
			if (f == inspect.Filter{Limit: f.Limit}) {
				return problem(kindUsage, "expected CONVERSATION or a filter: which conversations to cancel")
			}
			f.Open = true
			return connectedTemporal(cmd, &c.settings, func(ctx context.Context, t client.Client) error {
				return c.cancel(ctx, cmd, t, f)
			})
		},
	}
	c.flags(cmd)
	c.filters(cmd)
	c.changes(cmd)
	c.nats(cmd.Flags())
	c.actor(cmd.Flags())
	c.withoutAudit(cmd.Flags())
	return cmd
}

// cancelled is what became of a run.
type cancelled struct {
	inspect.Run

	Cancelled bool   `json:"cancelled"`
	Result    string `json:"result,omitempty"` // cancelled, not_cancelled or ended; empty for a dry run
	Error     string `json:"error,omitempty"`
}

// state returns the result in words.
func (c cancelled) state() string {
	if c.Result == inspect.NotCancelled {
		return "not cancelled: " + line(c.Error)
	}
	return cmp.Or(c.Result, "running")
}

func (c *conversationTool) cancel(ctx context.Context, cmd *cobra.Command, t client.Client, f inspect.Filter) error {
	runs, err := c.list(ctx, t, f)
	if err != nil {
		return err
	}
	if !c.dryRun {
		if err := c.confirm(cmd, "cancel %d conversations", len(runs)); err != nil {
			return err
		}
	}
	if c.dryRun {
		return c.cancelRuns(ctx, cmd, t, runs, &audit.Outcome{})
	}
	what := audit.Change{
		BotID: f.BotID, Action: schemas.AuditConversationsCancel,
		Filter: filterOf(cmd, "tenant", "bot", "user", "outcome", "since", "until", "busy"),
	}
	if f.Conversation != "" {
		what.Filter["conversation"] = audit.NotRecorded
	}
	for _, r := range runs {
		what.Objects = append(what.Objects, r.Workflow.RunID)
	}
	return c.auditedInTemporal(cmd, what, func(_ *audit.Operation, did *audit.Outcome) error {
		return c.cancelRuns(ctx, cmd, t, runs, did)
	})
}

// cancelRuns cancels runs, or only prints them, and prints what became of each.
func (c *conversationTool) cancelRuns(
	ctx context.Context, cmd *cobra.Command, t inspect.Canceller, runs []inspect.Run, did *audit.Outcome,
) error {
	results, counts := make([]cancelled, len(runs)), map[string]int{inspect.Cancelled: 0, inspect.NotCancelled: 0}
	for n, r := range runs {
		if results[n].Run = r; c.dryRun {
			continue
		}
		results[n] = c.cancelRun(ctx, t, r)
		counts[results[n].Result]++
	}
	did.Counts = counts
	err := c.print(cmd, results, func(out io.Writer) error {
		if c.dryRun {
			fmt.Fprintf(out, "would cancel %d conversations:\n", len(runs))
		}
		for _, r := range results {
			fmt.Fprintf(out, "%s of bot %s of tenant %s: %s\n", line(r.Conversation), r.Bot, r.Tenant, r.state())
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case counts[inspect.NotCancelled] == len(runs):
		return printed(kindFailed)
	case counts[inspect.NotCancelled] > 0:
		return printed(kindPartly)
	case counts[inspect.Ended] == len(runs):
		return printed(kindNotFound)
	}
	return nil
}

// cancelRun cancels one run, and returns what became of it.
func (c *conversationTool) cancelRun(ctx context.Context, t inspect.Canceller, r inspect.Run) cancelled {
	became := cancelled{Run: r, Result: inspect.NotCancelled}
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		became.Result, err = inspect.Cancel(ctx, t, r)
		return err
	})
	if became.Cancelled = became.Result == inspect.Cancelled; err != nil {
		became.Error = err.Error()
	}
	return became
}
