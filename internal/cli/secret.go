package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/secret"
)

func secretCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Create secrets for bot files", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use:   "new",
		Short: "Print a new secret for Standard Webhooks, whsec_ and 32 random bytes as base64",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), secret.Generate().Reveal())
			return err
		},
	})
	return cmd
}
