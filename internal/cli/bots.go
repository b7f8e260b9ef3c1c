package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

func botsCommand() *cobra.Command {
	cmd := group("bots", "Show, pause and resume bots")
	cmd.AddCommand(botsShowCommand(), listPausesCommand(false), pauseCommand(false), resumeCommand(false))
	return cmd
}

func botsShowCommand() *cobra.Command {
	var s settings
	var tenant string
	cmd := &cobra.Command{
		Use: "show BOT",
		Short: "Print the addresses of a bot: the URL of each step, the endpoints and the outbound URL of each adapter, " +
			"the address of each channel",
		Example: `  starter bots show shop --bots examples/bots`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.environment(cmd); err != nil {
				return err
			}
			b, err := s.findBot(cmd, schemas.BotID{Tenant: tenant, Bot: args[0]})
			if err != nil {
				return err
			}
			shown := bot.AddressesOf(b, strings.TrimSuffix(s.cfg.GatewayURL, "/"))
			return s.print(cmd, shown, func(out io.Writer) error { return writeAddresses(out, shown) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.cfg.Bots, "bots", "", "directory of the bot files")
	f.StringVar(&s.cfg.GatewayURL, "gateway-url", "", "where others reach the gateway; empty: paths are printed")
	f.StringVar(&tenant, "tenant", "default", "tenant of the bot")
	s.offline(cmd)
	s.egress(f)
	s.logging(f)
	return cmd
}

// findBot reads the bot files without their secrets.
func (s *settings) findBot(cmd *cobra.Command, id schemas.BotID) (*bot.Bot, error) {
	if s.cfg.Bots == "" {
		return nil, problem(kindUsage, "--bots is missing: the directory of the bot files, also as HOOKTURN_BOTS")
	}
	options, err := app.BotOptions(s.cfg)
	if err != nil {
		return nil, err
	}
	options.LookupEnv, options.WithoutSecrets = ioOf(cmd).LookupEnv, true
	set, problems, _, err := bot.Check(s.cfg.Bots, options)
	if err != nil {
		return nil, err
	}
	b, ok := set.Bot(id)
	hint := strings.TrimPrefix(set.Hint(id), ": ")
	switch {
	case ok:
		return b, nil
	case len(problems) > 0:
		return nil, problem(kindInvalid, "no valid bot file of bot %s of tenant %s in %s: %w", id.Bot, id.Tenant, s.cfg.Bots,
			problems).do(hint)
	}
	return nil, problem(kindNotFound, "no bot file of bot %s of tenant %s in %s", id.Bot, id.Tenant, s.cfg.Bots).do(hint)
}

func writeAddresses(w io.Writer, a bot.Addresses) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "bot %s of tenant %s\n", a.Bot, a.Tenant)
	for _, s := range a.Steps {
		fmt.Fprintf(table, "step\t%s\t%s\t%s\n", s.Step, s.Dialect, cmp.Or(s.URL, "code"))
	}
	for _, d := range a.Adapters {
		fmt.Fprintf(table, "adapter\t%s\toutbound\t%s\n", d.Adapter, cmp.Or(d.OutboundURL, "closed: no product_token"))
		for _, to := range [][2]string{{"message", d.MessageURL}, {"handover", d.HandoverURL}, {"events", d.EventsURL}} {
			if to[1] != "" {
				fmt.Fprintf(table, "adapter\t%s\t%s\t%s\n", d.Adapter, to[0], to[1])
			}
		}
	}
	for _, c := range a.Channels {
		if c.HTTP != "" {
			fmt.Fprintf(table, "channel\t%s\thttp\t%s\n", c.Channel, c.HTTP)
		}
		fmt.Fprintf(table, "channel\t%s\twebsocket\t%s\n", c.Channel, c.WebSocket)
		if c.FarEnd != "" {
			fmt.Fprintf(table, "channel\t%s\tfar end\t%s\n", c.Channel, c.FarEnd)
		}
	}
	return table.Flush()
}
