package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// viaCLI is the way in which an operator of the tools acts.
const viaCLI = "cli"

// actorMax bounds --actor, in bytes.
const actorMax = 128

// actor adds the option of a tool whose actions are recorded.
func (s *settings) actor(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.Actor, "actor", "", "who acts, for the audit event (default: the user of the operating system)")
}

// actingAs returns who acts, as far as the tool knows it without NATS.
func (s *settings) actingAs() (schemas.AuditActor, error) {
	if s.cfg.Actor != audit.Clean(s.cfg.Actor, actorMax) {
		return schemas.AuditActor{}, problem(kindUsage, "invalid --actor: expected one line of at most %d bytes", actorMax)
	}
	a := schemas.AuditActor{Via: viaCLI, OSUser: "uid-" + strconv.Itoa(os.Getuid())}
	if u, err := user.Current(); err == nil && u.Username != "" {
		a.OSUser = audit.Clean(u.Username, actorMax)
	}
	a.Name = cmp.Or(s.cfg.Actor, a.OSUser)
	a.Host, _ = os.Hostname() // without one the event does not have it
	return a, nil
}

// trail returns the audit trail of a tool's action on a connection to NATS. The role is that of the NATS user. A user that
// may record an action above its role is not one of hookturn's table but only has its name, and has no role.
func (s *settings) trail(js bus.JetStream, action schemas.AuditAction) (audit.Trail, error) {
	actor, err := s.actingAs()
	if err != nil {
		return audit.Trail{}, err
	}
	writer := bus.NewAudit(js)
	actor.NATSUser = writer.User()
	if as := permissions.RoleOf(actor.NATSUser); as.May(action) {
		actor.Role = string(as)
	}
	return audit.Trail{Writer: writer, Actor: actor, Log: s.cfg.Log}, nil
}

// change is the work of a tool that changes something, after its audit event was written. It adds what it did to the
// outcome.
type change func(op *audit.Operation, did *audit.Outcome) error

// audited makes a change between its two audit events. When the first cannot be written, nothing is changed.
func (s *settings) audited(ctx context.Context, js bus.JetStream, c audit.Change, work change) error {
	trail, err := s.trail(js, c.Action)
	if err != nil {
		return err
	}
	op, err := trail.Begin(ctx, c)
	switch {
	case natsclient.IsDenied(err):
		return problem(kindRefused, "nothing was changed: %w", err).
			do("the NATS user may not do this, it needs the role " + string(role.Needs(c.Action)))
	case err != nil:
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return finish(ctx, op, work)
}

// finish runs the work of a recorded action and records the result.
func finish(ctx context.Context, op *audit.Operation, work change) error {
	did := audit.Outcome{Result: schemas.AuditDone}
	err := work(op, &did)
	if err != nil {
		known := classify(err, true)
		if did.Result = schemas.AuditFailed; known.kind == kindPartly {
			did.Result = schemas.AuditPartly
		}
		did.Error = string(known.kind)
	}
	op.End(ctx, did)
	return err
}

// withoutAudit adds the option of a tool that changes Temporal only, and may be needed while NATS is away.
func (s *settings) withoutAudit(f *pflag.FlagSet) {
	f.BoolVar(&s.unaudited, "unaudited", false, "act also when NATS cannot be reached for the audit event; the log has it")
}

// auditedInTemporal is audited for a tool that needs NATS only for the audit event.
func (s *settings) auditedInTemporal(cmd *cobra.Command, c audit.Change, work change) error {
	begun := false
	err := connected(cmd, s, func(ctx context.Context, js bus.JetStream) error {
		return s.audited(ctx, js, c, func(op *audit.Operation, did *audit.Outcome) error {
			begun = true
			return work(op, did)
		})
	})
	if err == nil || begun || !s.unaudited || classify(err, true).kind != kindUnreachable {
		return err
	}
	s.cfg.Log.Warn("acting without an audit event", "action", c.Action, "error", err)
	actor, err := s.actingAs()
	if err != nil {
		return err
	}
	op, err := audit.Trail{Writer: logOnly{}, Actor: actor, Log: s.cfg.Log}.Begin(cmd.Context(), c)
	if err != nil {
		return err
	}
	return finish(cmd.Context(), op, work)
}

// logOnly stores no audit events: the trail logs them.
type logOnly struct{}

func (logOnly) Write(context.Context, schemas.AuditEvent) error { return nil }

// filterOf returns the options of a command that choose what it changes, as an audit event records them.
func filterOf(cmd *cobra.Command, names ...string) map[string]string {
	filter := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case !slices.Contains(names, f.Name):
		case f.Name == "user" || f.Name == "conversation":
			filter[f.Name] = audit.NotRecorded
		default:
			filter[f.Name] = audit.Clean(f.Value.String(), actorMax)
		}
	})
	return filter
}

func auditCommand() *cobra.Command {
	var s settings
	var f auditFilter
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List what operators changed and decrypted, oldest first",
		Long: "List what operators changed, oldest first: an event before each change, one with its result. A change without\n" +
			"the second was interrupted. payloads_decrypt is what the codec server decrypted for one operator in a minute.\n" +
			"Events are kept for a year, and name no user and no conversation.",
		Example: `  starter audit --since 24h
  starter audit --action erase --actor ann --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return connected(cmd, &s, func(ctx context.Context, js bus.JetStream) error {
				list, err := s.auditEvents(ctx, js, f)
				if err != nil {
					return err
				}
				if len(list) == 0 {
					return problem(kindNotFound, "no audit events match")
				}
				return s.print(cmd, list, func(out io.Writer) error { return writeAudit(out, list) })
			})
		},
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	f.flags(cmd)
	return cmd
}

// auditFilter is a filter of audit events on the command line.
type auditFilter struct {
	bus.AuditFilter

	action       string
	since, until when
	limit        int
}

func (f *auditFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	cmd.Flags().StringVar(&f.Bot, "bot", "", "only this bot")
	cmd.Flags().StringVar(&f.action, "action", "", "only this action, for example erase")
	var actions []string
	for _, action := range schemas.AuditActions() {
		actions = append(actions, string(action))
	}
	completes(cmd, "action", actions...)
	cmd.Flags().StringVar(&f.Actor, "actor", "", "only what this operator did, by name")
	cmd.Flag("actor").Annotations = map[string][]string{flagOnly: {"true"}}
	cmd.Flags().Var(&f.since, "since", "only events of this time or later: a time ago, or a moment")
	cmd.Flags().Var(&f.until, "until", "only events before this time")
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "at most this many, the latest ones")
}

func (f *auditFilter) complete() error {
	f.Action, f.Since, f.Until = schemas.AuditAction(f.action), f.since.Time, f.until.Time
	if f.limit < 1 {
		return problem(kindUsage, "invalid --limit: must be at least 1")
	}
	return checkFilter(f.BotID)
}

func (s *settings) auditEvents(ctx context.Context, js bus.JetStream, f auditFilter) (list []schemas.AuditEvent, err error) {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return nil, err
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		list = nil
		return bus.ReadAudit(ctx, streams, f.AuditFilter, func(e schemas.AuditEvent) bool {
			if list = append(list, e); len(list)-f.limit >= f.limit {
				list = slices.Delete(list, 0, f.limit)
			}
			return true
		})
	})
	return list[max(0, len(list)-f.limit):], err
}

func writeAudit(out io.Writer, list []schemas.AuditEvent) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tACTOR\tROLE\tVIA\tACTION\tRESULT\tTENANT\tBOT\tSUBJECT\tDETAIL")
	for _, e := range list {
		d := e.Data
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.UTC().Format(time.RFC3339), line(d.Actor.Name),
			cmp.Or(line(d.Actor.Role), "-"), line(d.Actor.Via), line(string(d.Action)), line(string(d.Result)),
			cmp.Or(line(d.Tenant), "-"), cmp.Or(line(d.Bot), "-"), cmp.Or(line(e.Subject), "-"), line(detailOf(d)))
	}
	return w.Flush()
}

// detailOf returns what the other columns of a list do not show.
func detailOf(d schemas.Audited) string {
	var parts []string
	if d.Until != nil {
		parts = append(parts, "until "+d.Until.UTC().Format(time.RFC3339))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Filter)) {
		parts = append(parts, name+"="+d.Filter[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Counts)) {
		parts = append(parts, name+": "+strconv.Itoa(d.Counts[name]))
	}
	for _, text := range []string{d.Reason, d.Error} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}
