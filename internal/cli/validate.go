package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

func validateCommand() *cobra.Command {
	var s settings
	var withoutSecrets bool
	cmd := &cobra.Command{
		Use:   "validate DIR",
		Short: "Check the bot files of a directory; print every problem and exit with status 4 if there is one",
		Example: `  starter validate examples/bots --secrets-dir examples/secrets --egress-allow 127.0.0.1:8090
  starter validate examples/bots --without-secrets --egress-allow 127.0.0.1:8090`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.environment(cmd); err != nil {
				return err
			}
			options, err := app.BotOptions(s.cfg)
			if err != nil {
				return err
			}
			options.LookupEnv, options.WithoutSecrets = ioOf(cmd).LookupEnv, withoutSecrets
			return s.validate(cmd, args[0], options)
		},
	}
	s.offline(cmd)
	s.egress(cmd.Flags())
	s.licences(cmd.Flags())
	s.secrets(cmd.Flags())
	s.logging(cmd.Flags())
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false,
		"do not read secrets: for a machine that does not have them, such as a build server")
	return cmd
}

// checked is the result of a check of bot files.
type checked struct {
	Bots     []checkedBot `json:"bots"`
	Problems []string     `json:"problems"`
	Warnings []string     `json:"warnings"`
}

type checkedBot struct {
	schemas.BotID

	Steps int `json:"steps"`
}

// validate prints errors, warnings and the valid bots.
func (f *frame) validate(cmd *cobra.Command, dir string, options bot.Options) error {
	set, problems, warnings, err := bot.Check(dir, options)
	if err != nil {
		return err
	}
	result := checked{Bots: []checkedBot{}, Problems: []string{}, Warnings: []string{}}
	for _, p := range problems {
		result.Problems = append(result.Problems, p.String())
	}
	for _, w := range warnings {
		result.Warnings = append(result.Warnings, w.String())
	}
	for _, b := range set.Bots() {
		result.Bots = append(result.Bots, checkedBot{schemas.BotID{Tenant: b.Tenant(), Bot: b.Name()}, len(b.Steps())})
	}
	if len(problems) == 0 && len(result.Bots) == 0 {
		return problem(kindNotFound, "no bot files (*.yaml) in %s", dir)
	}
	if err := f.print(cmd, result, result.write); err != nil {
		return err
	}
	if len(problems) > 0 {
		return printed(kindInvalid)
	}
	return nil
}

func (c checked) write(out io.Writer) error {
	for _, p := range c.Problems {
		fmt.Fprintln(out, line(p))
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(out, "warning:", line(w))
	}
	for _, b := range c.Bots {
		fmt.Fprintf(out, "ok: bot %s of tenant %s, %d steps\n", b.Bot, b.Tenant, b.Steps)
	}
	return nil
}
