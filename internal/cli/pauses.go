package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/pause"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func endpointsCommand() *cobra.Command {
	cmd := group("endpoints", "List, pause and resume the endpoints of bots")
	cmd.AddCommand(listPausesCommand(true), pauseCommand(true), resumeCommand(true))
	return cmd
}

// pauseTool is what the commands on pauses have in common.
type pauseTool struct {
	settings

	ofEndpoint bool
	unknown    bool   // also what nothing knows
	meant      string // the question about the name that an unknown one may stand for; "" = none is like it
	owner      schemas.BotID
	pause      time.Duration
	reason     string
}

func (p *pauseTool) flags(cmd *cobra.Command) {
	p.connects(cmd)
	p.connection(cmd.Flags())
	cmd.Flags().StringVar(&p.owner.Tenant, "tenant", "default", "tenant of the bot")
	if p.ofEndpoint {
		cmd.Flags().StringVar(&p.owner.Bot, "bot", "", "bot that calls the endpoint (required)")
		_ = cmd.MarkFlagRequired("bot") // the flag exists
	}
	p.changes(cmd)
	p.actor(cmd.Flags())
	p.mayBeUnknown(cmd.Flags())
	cmd.Flags().StringVar(&p.reason, "reason", "", "why, for the audit event and the list")
}

// subject returns the bot or the endpoint that an argument names.
func (p *pauseTool) subject(arg string) (store.Pause, error) {
	d := store.Pause{BotID: p.owner, At: time.Now().UTC(), Reason: p.reason}
	if !p.ofEndpoint {
		d.Bot = arg
	} else {
		u, err := url.Parse(arg)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return d, problem(kindUsage, "invalid endpoint %q: expected its whole URL, as \"starter bots show\" prints it", line(arg))
		}
		d.URL, _, _ = strings.Cut(arg, "?") // as workers know it
	}
	if !d.Valid() {
		return d, errNoToken
	}
	return d, nil
}

// decide stores a decision.
func (p *pauseTool) decide(ctx context.Context, js bus.JetStream, d store.Pause) error {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return err
	}
	return p.retry(ctx, func(ctx context.Context) error { return pause.Decide(ctx, streams, d) })
}

// run confirms and does what a decision is.
func (p *pauseTool) run(cmd *cobra.Command, d store.Pause, verb string) error {
	what := verb + " bot " + d.Bot + " of tenant " + d.Tenant
	if d.URL != "" {
		what = verb + " endpoint " + line(d.URL) + " of bot " + d.Bot + " of tenant " + d.Tenant
	}
	if !d.Until.IsZero() {
		what += " until " + d.Until.Format(time.RFC3339)
	}
	if err := p.exists(cmd, d); err != nil {
		return err
	}
	if p.dryRun {
		return p.printLine(cmd, d, "would %s", what)
	}
	if err := p.confirm(cmd, "%s", what); err != nil {
		return err
	}
	return connected(cmd, &p.settings, func(ctx context.Context, js bus.JetStream) error {
		c := audit.Change{
			BotID: d.BotID, Action: p.action(verb), Subject: cmp.Or(d.URL, d.Bot), Until: d.Until, Reason: d.Reason,
		}
		err := p.audited(ctx, js, c, func(op *audit.Operation, _ *audit.Outcome) error {
			d.By = op.Actor()
			return p.decide(ctx, js, d)
		})
		if err != nil {
			return err
		}
		return p.printLine(cmd, d, "done: %s", what)
	})
}

// action returns the audit action of a verb.
func (p *pauseTool) action(verb string) schemas.AuditAction {
	switch {
	case p.ofEndpoint && verb == "pause":
		return schemas.AuditEndpointPause
	case p.ofEndpoint:
		return schemas.AuditEndpointResume
	case verb == "pause":
		return schemas.AuditBotPause
	}
	return schemas.AuditBotResume
}

func (p *pauseTool) use(verb string) (use, what, example string) {
	if p.ofEndpoint {
		return verb + " URL", "an endpoint of a bot", "starter endpoints " + verb + " https://shop.example/orders --bot shop"
	}
	return verb + " BOT", "a bot", "starter bots " + verb + " shop"
}

func pauseCommand(ofEndpoint bool) *cobra.Command {
	p := pauseTool{ofEndpoint: ofEndpoint}
	use, what, example := p.use("pause")
	cmd := &cobra.Command{
		Use: use, Short: "Pause " + what + ", for a time or until it is resumed", Args: cobra.ExactArgs(1),
		Example: "  " + example + " --for 30m --reason maintenance --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := p.subject(args[0])
			if err != nil {
				return err
			}
			if p.pause < 0 {
				return problem(kindUsage, "invalid --for: must not be negative")
			}
			if p.pause > 0 {
				d.Until = d.At.Add(p.pause).Round(time.Second)
			}
			return p.run(cmd, d, "pause")
		},
	}
	cmd.Long = "Pause a bot. Its new events wait in JetStream, in order; steps that have begun go on. A user whose\n" +
		"step waits gets the text bot_paused of the bot file once, when there is one. An event that is next in its\n" +
		"conversation and has a latest useful moment (expirytime, Nats-TTL) is rejected as expired a second before\n" +
		"that. The status is 3 for a bot that neither a bot file nor an open conversation knows."
	if ofEndpoint {
		cmd.Long = "Pause an endpoint of a bot. A step whose deadline is later, or that runs in the background,\n" +
			"waits; the others fail with rate_limited. Steps in the background go on within a minute\n" +
			"after the end of the pause. The status is 3 for an endpoint that the bot file does not have, or a bot that\n" +
			"neither a bot file nor an open conversation knows."
	}
	p.flags(cmd)
	cmd.Flags().DurationVar(&p.pause, "for", 0, "how long; 0: until it is resumed")
	return cmd
}

func resumeCommand(ofEndpoint bool) *cobra.Command {
	p := pauseTool{ofEndpoint: ofEndpoint}
	use, what, example := p.use("resume")
	cmd := &cobra.Command{
		Use: use, Short: "Resume " + what, Args: cobra.ExactArgs(1), Example: "  " + example + " --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := p.subject(args[0])
			if err != nil {
				return err
			}
			d.Resumed = true
			return p.run(cmd, d, "resume")
		},
	}
	if ofEndpoint {
		cmd.Long = "Resume an endpoint of a bot: ends a pause by an operator, a Retry-After, an open circuit and the\n" +
			"state after a 410."
	}
	p.flags(cmd)
	return cmd
}

func listPausesCommand(ofEndpoint bool) *cobra.Command {
	var s settings
	var only schemas.BotID
	cmd := &cobra.Command{
		Use: "list", Short: "List the bots that an operator has paused", Args: cobra.NoArgs, Example: "  starter bots list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(only); err != nil {
				return err
			}
			return connected(cmd, &s, func(ctx context.Context, js bus.JetStream) error {
				list, err := s.pauses(ctx, js, ofEndpoint)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(p pause.Shown) bool {
					return only.Tenant != "" && p.Tenant != only.Tenant || only.Bot != "" && p.Bot != only.Bot
				})
				if len(list) == 0 && ofEndpoint {
					return problem(kindNotFound, "all endpoints that match are in their normal state")
				} else if len(list) == 0 {
					return problem(kindNotFound, "none of the bots that match is paused")
				}
				return s.print(cmd, list, func(out io.Writer) error { return writePauses(out, list) })
			})
		},
	}
	if ofEndpoint {
		cmd.Short, cmd.Example = "List the endpoints that are not in their normal state", "  starter endpoints list --bot shop"
		cmd.Long = "List the endpoints that are not in their normal state, as workers share it: paused (the endpoint asked\n" +
			"for it), open (its circuit), disabled (it answered 410), held (an operator paused it)."
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	cmd.Flags().StringVar(&only.Tenant, "tenant", "", "only this tenant")
	cmd.Flags().StringVar(&only.Bot, "bot", "", "only this bot")
	return cmd
}

// pauses returns what operators have paused, of endpoints with the states that workers share.
func (s *settings) pauses(ctx context.Context, js bus.JetStream, ofEndpoints bool) (list []pause.Shown, err error) {
	streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
	if err != nil {
		return nil, err
	}
	read := pause.Bots
	if ofEndpoints {
		read = pause.Endpoints
	}
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		list, err = read(ctx, streams)
		return err
	})
	return list, err
}

func writePauses(out io.Writer, list []pause.Shown) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tBOT\tENDPOINT\tSTATE\tUNTIL\tBY\tREASON")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Tenant, p.Bot, cmp.Or(line(p.URL), "-"), p.State, moment(p.Until),
			cmp.Or(line(p.By), "-"), line(p.Reason))
	}
	return w.Flush()
}
