package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// TestDotEnv_PasswordsSuitNATS: every password of the form that `make up` writes is read as one string by the NATS
// configuration. A password that began with "-", or with digits and "-", was not.
func TestDotEnv_PasswordsSuitNATS(t *testing.T) {
	const form = `^p[0-9a-f]{36}$`
	makefile, err := filepath.Abs(filepath.Join(repoRoot, "Makefile"))
	require.NoError(t, err)
	dir := t.TempDir()
	written := map[string]bool{}
	for range 20 {
		command := exec.CommandContext(t.Context(), "make", "-f", makefile, ".env")
		command.Dir = dir
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		text, err := os.ReadFile(filepath.Join(dir, ".env"))
		require.NoError(t, err)
		for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
			name, password, _ := strings.Cut(line, "=")
			require.Regexp(t, form, password, name)
			require.False(t, written[password], "%s is not random", name)
			written[password] = true
			t.Setenv(name, password)
		}
		_, err = server.ProcessConfigFile(filepath.Join(repoRoot, "deploy", "nats-server.conf"))
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(dir, ".env")))
	}
}
