package cli_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
)

// words splits a line of a shell: words are separated by spaces, except between single quotes.
func words(line string) (all []string) {
	for n, part := range strings.Split(line, "'") {
		if n%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// TestDocs_ExamplesParse runs each example of each command up to its work: the command, its flags and its arguments exist.
func TestDocs_ExamplesParse(t *testing.T) {
	t.Parallel()
	read := 0
	for name, documented := range tools() {
		for line := range strings.Lines(strings.ReplaceAll(documented.Example, "\\\n", " ")) {
			args := words(strings.TrimSpace(line))
			require.Equal(t, "starter", args[0], name)
			root, ran := cli.StarterCommand(), ""
			var stub func(*cobra.Command)
			stub = func(c *cobra.Command) {
				if c.RunE != nil {
					c.RunE = func(cmd *cobra.Command, _ []string) error {
						ran = cmd.CommandPath()
						return nil
					}
				}
				for _, child := range c.Commands() {
					stub(child)
				}
			}
			stub(root)
			w := &world{}
			require.Zero(t, w.run(testContext(t), root, args[1:]...), "%s: %s", line, &w.err)
			require.Equal(t, name, ran, line)
			read++
		}
	}
	require.Greater(t, read, len(tools())-1)
}
