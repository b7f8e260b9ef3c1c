package e2e

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/demo"
)

// TestDemo_Whole runs the first command of the README.
func TestDemo_Whole(t *testing.T) {
	t.Parallel()
	var out, problems bytes.Buffer
	cmd := demo.Command()
	cmd.SetArgs([]string{"--bots", "../../examples/bots"})
	cmd.SetOut(&out)
	cmd.SetErr(&problems)
	require.NoError(t, cmd.ExecuteContext(t.Context()), "%s\n%s", &out, &problems)
	require.Contains(t, out.String(), "All of it worked.")
}
