package cli

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
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
	case d.URL == "" || slices.Contains(endpointsOf(b), d.URL):
		return true, nil
	}
	return false, problem(kindNotFound, "bot %s of tenant %s has no endpoint %s", d.Bot, d.Tenant, line(d.URL)).
		do("\"starter bots show\" prints its endpoints; --unknown allows others")
}

// endpointsOf returns the URLs of a bot as workers know them.
func endpointsOf(b *bot.Bot) (urls []string) {
	a := addressesOf(b, "")
	for _, s := range a.Steps {
		urls = append(urls, s.URL)
	}
	for _, d := range a.Adapters {
		urls = append(urls, d.MessageURL, d.HandoverURL, d.EventsURL)
	}
	for n := range urls {
		urls[n], _, _ = strings.Cut(urls[n], "?")
	}
	return urls
}

// decidedBefore reports whether what is resumed was paused, or has a state that workers share.
func (p *pauseTool) decidedBefore(cmd *cobra.Command, d store.Pause) (known bool, err error) {
	if !d.Resumed {
		return false, nil
	}
	err = connected(cmd, &p.settings, func(ctx context.Context, js bus.JetStream) error {
		list, err := p.pauses(ctx, js, p.ofEndpoint)
		known = slices.ContainsFunc(list, func(s pauseShown) bool { return s.BotID == d.BotID && s.URL == d.URL })
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
			do("name the directory of the bot files with --bots, or add --unknown to skip the check")
	case err != nil:
		return err
	case len(runs) > 0:
		return nil
	}
	return problem(kindNotFound, "neither a bot file nor an open conversation knows bot %s of tenant %s", d.Bot, d.Tenant).
		do("name the directory of the bot files with --bots, or add --unknown to do it for later")
}
