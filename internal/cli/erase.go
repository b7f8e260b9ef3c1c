package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/erase"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func eraseCommand() *cobra.Command {
	var s settings
	var r erase.Request
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "Delete a person's or a conversation's data everywhere, and print what was deleted and what is kept",
		Long: "Delete a person's or a conversation's data everywhere: runs with their histories, events, replies, dead letters, " +
			"background queues, user details, chats and files. Open runs are cancelled first, so that their steps are answered; a " +
			"worker has to run. The command prints counts by place and what is kept, with the reason. It may run while traffic " +
			"runs, and again after an error: what is gone counts zero",
		Example: `  starter erase --tenant default --user 91 --dry-run
  starter erase --tenant default --bot shop --conversation c-42 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runErase(cmd, &s, r) },
	}
	s.connects(cmd)
	s.changes(cmd)
	s.actor(cmd.Flags())
	s.connection(cmd.Flags())
	s.payloads(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&r.Tenant, "tenant", "default", "tenant of the person")
	f.StringVar(&r.User, "user", "", "id of the user, as events have it")
	f.StringVar(&r.Conversation, "conversation", "", "id of the conversation")
	f.StringVar(&r.Bot, "bot", "", "only this bot")
	f.DurationVar(&s.wait, "wait", 5*time.Second,
		"how long to wait until Temporal does not list the deleted runs any more; it deletes them also without")
	return cmd
}

func runErase(cmd *cobra.Command, s *settings, r erase.Request) error {
	if (r.User == "") == (r.Conversation == "") {
		return problem(kindUsage, "expected either --user or --conversation")
	}
	if r.Tenant == "" {
		return problem(kindUsage, "missing --tenant")
	}
	if err := checkFilter(schemas.BotID{Tenant: r.Tenant, Bot: r.Bot}); err != nil {
		return err
	}
	if r.User != "" && r.Bot != "" {
		return problem(kindUsage, "--bot belongs to --conversation: a user's data is erased for all bots of the tenant")
	}
	if err := s.everything(cmd); err != nil {
		return err
	}
	if !s.dryRun {
		what := "conversation " + r.Conversation
		if r.User != "" {
			what = "user " + r.User
		}
		if err := s.confirm(cmd, "erase all data of %s of tenant %s", what, r.Tenant); err != nil {
			return err
		}
	}
	return connected(cmd, s, func(ctx context.Context, js bus.JetStream) error { return s.erase(ctx, cmd, js, r) })
}

func (s *settings) erase(ctx context.Context, cmd *cobra.Command, js bus.JetStream, r erase.Request) error {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return err
	}
	connecting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	temporal, err := app.OpenTemporal(connecting, s.cfg)
	if err != nil {
		return err
	}
	defer temporal.Close()
	payloads, err := s.cfg.PayloadCodec()
	if err != nil {
		return problem(kindUsage, "%w", err)
	}
	eraser := erase.Eraser{
		Temporal: temporal, Namespace: app.NamespaceOf(s.cfg), Payloads: payloads, Store: store.NewEraser(js, streams),
		Wait: s.wait,
	}
	if eraser.Store.Dry = s.dryRun; s.dryRun {
		return s.eraseBy(ctx, cmd, eraser, r, &audit.Outcome{})
	}
	what := audit.Change{BotID: schemas.BotID{Tenant: r.Tenant, Bot: r.Bot}, Action: schemas.AuditErase}
	return s.audited(ctx, js, what, func(_ *audit.Operation, did *audit.Outcome) error {
		return s.eraseBy(ctx, cmd, eraser, r, did)
	})
}

// eraseBy erases, or counts what would be erased, and prints the report.
func (s *settings) eraseBy(
	ctx context.Context, cmd *cobra.Command, eraser erase.Eraser, r erase.Request, did *audit.Outcome,
) error {
	report, failed := eraser.Run(ctx, r)
	did.Counts = map[string]int{}
	for _, place := range places(report) {
		did.Counts[strings.ReplaceAll(place.name, " ", "_")] = place.count
	}
	if failed != nil && report.Runs+report.Total() == 0 {
		return failed
	}
	if err := s.print(cmd, report, func(out io.Writer) error { return printErased(out, report) }); err != nil {
		return err
	}
	if failed != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "starter: erased in part, run the command again: %v\n", failed)
		return printed(kindPartly)
	}
	return nil
}

// erasedPlace is how much was deleted from one place.
type erasedPlace struct {
	name  string
	count int
}

func places(r erase.Report) []erasedPlace {
	return []erasedPlace{
		{"runs", r.Runs}, {"runs still listed", r.Deleting}, {"events", r.Events}, {"replies", r.Replies},
		{"dead letters", r.DeadLetters},
		{"queue entries", r.Queued}, {"user details", r.UserDetails}, {"chats", r.Chats}, {"files", r.Files},
	}
}

func printErased(out io.Writer, r erase.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	deleted := "DELETED"
	if r.DryRun {
		deleted = "WOULD BE DELETED"
	}
	fmt.Fprintf(w, "PLACE\t%s\n", deleted)
	for _, place := range places(r) {
		fmt.Fprintf(w, "%s\t%d\n", place.name, place.count)
	}
	fmt.Fprintf(w, "\nKEPT\tWHY\n")
	for _, k := range r.Kept {
		fmt.Fprintf(w, "%s\t%s\n", k.What, k.Why)
	}
	return w.Flush()
}
