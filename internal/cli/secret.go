package cli

import (
	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/secret"
)

func secretCommand() *cobra.Command {
	cmd := group("secret", "Create secrets for bot files")
	var f frame
	create := &cobra.Command{
		Use:     "new",
		Short:   "Print a new secret for Standard Webhooks, whsec_ and 32 random bytes as base64",
		Example: `  starter secret new`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			value := secret.Generate().Reveal()
			return f.printLine(cmd, map[string]any{"secret": value}, "%s", value)
		},
	}
	f.offline(create)
	cmd.AddCommand(create)
	return cmd
}
