package bus

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// TestAtRest_ServersOwnEncryption publishes an event to a server as docs/security.md configures it, and looks for its body in
// the files of the server.
func TestAtRest_ServersOwnEncryption(t *testing.T) {
	t.Parallel()
	const marker = "MARKER-of-a-person"
	for name, c := range map[string]struct {
		configuration string
		inClear       bool
	}{
		"without a key": {"", true},
		"with a key":    {"cipher: aes\n  key: a-key-of-the-operator\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(t.TempDir(), "nats.conf")
			text := "host: 127.0.0.1\nport: -1\n" +
				"jetstream {\n  store_dir: '" + dir + "'\n  " + c.configuration + "}\n"
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			options, err := server.ProcessConfigFile(file)
			require.NoError(t, err)
			options.NoLog, options.NoSigs, options.MaxPayload = true, true, 2<<20
			s, err := server.NewServer(options)
			require.NoError(t, err)
			s.Start()
			require.True(t, s.ReadyForConnections(soon))
			nc, js, err := Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
			require.NoError(t, err)
			streams, err := Setup(testContext(t), js, StreamOptions{})
			require.NoError(t, err)
			key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
			_, _, err = NewPublisher(js).PublishEvent(testContext(t), key, []byte(`{"text":"`+marker+`"}`), "e-1", nil)
			require.NoError(t, err)
			require.NoError(t, Ready(testContext(t), js))
			require.Positive(t, streams.Partitions)
			nc.Close()
			s.Shutdown()
			s.WaitForShutdown()
			require.Equal(t, c.inClear, inFiles(t, dir, marker))
		})
	}
}

// inFiles reports whether a file below a directory holds a text.
func inFiles(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	}))
	return found
}
