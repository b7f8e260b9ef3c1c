package cli

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/pause"
	"github.com/hookturn/hookturn/internal/store"
)

// mayBeUnknown adds the options by which a tool finds out whether what it is given by name exists.
func (p *pauseTool) mayBeUnknown(f *pflag.FlagSet) {
	f.StringVar(&p.cfg.Bots, "bots", "", "directory of the bot files; empty: only open conversations show that a bot exists")
	f.BoolVar(&p.unknown, "unknown", false, "also what neither a bot file nor an open conversation knows, for later")
}

// exists returns an error when nothing knows what a decision is about: no bot file, no open conversation, and, of what is
// resumed, no earlier decision.
func (p *pauseTool) exists(cmd *cobra.Command, d store.Pause) error {
	if p.unknown {
		return nil
	}
	if err := p.environment(cmd); err != nil {
		return err
	}
	known, err := p.inBotFiles(cmd, d)
	if known || err != nil {
		return err
	}
	if known, err = p.decidedBefore(cmd, d); known || err != nil {
		return err
	}
	return p.inConversations(cmd, d)
}

// inBotFiles reports whether the bot files have the bot, and the endpoint. An invalid file of a bot is one, too.
func (p *pauseTool) inBotFiles(cmd *cobra.Command, d store.Pause) (known bool, err error) {
	if p.cfg.Bots == "" {
		return false, nil
	}
	b, err := p.findBot(cmd, d.BotID)
	if err != nil {
		p.meant = classify(err, true).hint
	}
	problems, invalid := errors.AsType[bot.Problems](err)
	switch {
	case invalid:
		return slices.ContainsFunc(problems, func(problem bot.Problem) bool {
			name := d.Bot + ".yaml"
			return problem.File == name || problem.File == path.Join(d.Tenant, name)
		}), nil
	case err != nil && classify(err, true).kind == kindNotFound:
		return false, nil
	case err != nil:
		return false, err
	case d.URL == "" || slices.Contains(bot.AddressesOf(b, "").Endpoints(), d.URL):
		return true, nil
	}
	p.meant = meant("", d.URL, bot.AddressesOf(b, "").Endpoints())
	return false, problem(kindNotFound, "bot %s of tenant %s has no endpoint %s", d.Bot, d.Tenant, line(d.URL)).
		do(p.hint("\"starter bots show\" prints its endpoints; --unknown allows others"))
}

// hint returns what to do about a name that is unknown: the name that was meant, where one is like it, before the rest.
func (p *pauseTool) hint(rest string) string {
	if p.meant == "" {
		return rest
	}
	return p.meant + " Otherwise: " + rest
}

// decidedBefore reports whether what is resumed was paused, or has a state that workers share.
func (p *pauseTool) decidedBefore(cmd *cobra.Command, d store.Pause) (known bool, err error) {
	if !d.Resumed {
		return false, nil
	}
	err = connected(cmd, &p.settings, func(ctx context.Context, js bus.JetStream) error {
		list, err := p.pauses(ctx, js, p.ofEndpoint)
		known = slices.ContainsFunc(list, func(s pause.Shown) bool { return s.BotID == d.BotID && s.URL == d.URL })
		return err
	})
	return known, err
}

// inConversations returns an error when no open conversation is one of the bot.
func (p *pauseTool) inConversations(cmd *cobra.Command, d store.Pause) error {
	var runs []inspect.Run
	err := connectedTemporal(cmd, &p.settings, func(ctx context.Context, t client.Client) error {
		i := &inspect.Inspector{Temporal: t, Namespace: p.cfg.Temporal.Namespace}
		return p.retry(ctx, func(ctx context.Context) (err error) {
			runs, err = i.List(ctx, inspect.Filter{BotID: d.BotID, Open: true, Limit: 1})
			return err
		})
	})
	switch {
	case err != nil && classify(err, true).kind == kindUnreachable:
		return problem(kindUnreachable, "look for open conversations of bot %s of tenant %s: %w", d.Bot, d.Tenant, err).
			do(p.hint("name the directory of the bot files with --bots, or add --unknown to skip the check"))
	case err != nil:
		return err
	case len(runs) > 0:
		return nil
	}
	return problem(kindNotFound, "neither a bot file nor an open conversation knows bot %s of tenant %s", d.Bot, d.Tenant).
		do(p.hint("name the directory of the bot files with --bots, or add --unknown to do it for later"))
}
