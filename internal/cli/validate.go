package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bot"
)

func validateCommand() *cobra.Command {
	var s settings
	var withoutSecrets bool
	cmd := &cobra.Command{
		Use:   "validate DIR",
		Short: "Check the bot files of a directory; print every problem and exit with status 1 if there is one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.environment(cmd); err != nil {
				return err
			}
			options, err := app.BotOptions(s.cfg)
			if err != nil {
				return err
			}
			options.LookupEnv, options.WithoutSecrets = ioOf(cmd).LookupEnv, withoutSecrets
			return validate(cmd, args[0], options)
		},
	}
	s.egress(cmd.Flags())
	s.licences(cmd.Flags())
	s.secrets(cmd.Flags())
	s.logging(cmd.Flags())
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false,
		"do not read secrets: for a machine that does not have them, such as a build server")
	return cmd
}

// validate prints errors, warnings and the valid bots.
func validate(cmd *cobra.Command, dir string, options bot.Options) error {
	out := cmd.OutOrStdout()
	set, problems, warnings, err := bot.Check(dir, options)
	if err != nil {
		fmt.Fprintln(out, err)
		return errSilent
	}
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	for _, w := range warnings {
		fmt.Fprintln(out, "warning:", w)
	}
	for _, b := range set.Bots() {
		fmt.Fprintf(out, "ok: bot %s of tenant %s, %d steps\n", b.Name(), b.Tenant(), len(b.Steps()))
	}
	switch {
	case len(problems) > 0:
		return errSilent
	case len(set.Bots()) == 0:
		fmt.Fprintf(out, "no bot files (*.yaml) in %s\n", dir)
	}
	return nil
}
