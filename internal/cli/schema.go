package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/schemas"
)

// schemaCommand returns the command that prints the JSON Schemas of this release.
func schemaCommand() *cobra.Command {
	var f frame
	cmd := &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print a JSON Schema (2020-12) of this release, such as botfile, event or reply",
		Long: "Print a JSON Schema (2020-12) of this release, such as botfile, event or reply; without NAME the names of all.\n" +
			"A schema refers to nothing outside itself. The gateway serves the same text at /schemas/NAME.json",
		Example: `  starter schema
  starter schema botfile`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(schemas.SchemaNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.schemaNames(cmd)
			}
			return f.schema(cmd, args[0])
		},
	}
	f.offline(cmd)
	return cmd
}

func (f *frame) schemaNames(cmd *cobra.Command) error {
	names := schemas.SchemaNames()
	return f.print(cmd, map[string]any{"schemas": names}, func(out io.Writer) error {
		for _, name := range names {
			if _, err := fmt.Fprintln(out, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *frame) schema(cmd *cobra.Command, name string) error {
	text, err := schemas.JSONSchema(name)
	if err != nil {
		e := problem(kindNotFound, "no JSON Schema has the name %q", name)
		if hint := meant("", name, schemas.SchemaNames()); hint != "" {
			return e.do(hint)
		}
		return e.do("\"starter schema\" prints the names")
	}
	return f.print(cmd, json.RawMessage(text), func(out io.Writer) error {
		_, err := out.Write(text)
		return err
	})
}
