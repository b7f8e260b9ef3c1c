package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
)

func TestErase_Usage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"nothing named":    {nil, 2, "expected either --user or --conversation"},
		"both named":       {[]string{"--user", "91", "--conversation", "c-1"}, 2, "expected either"},
		"bot of a user":    {[]string{"--user", "91", "--bot", "shop"}, 2, "--bot belongs to --conversation"},
		"no tenant":        {[]string{"--user", "91", "--tenant", ""}, 2, "missing --tenant"},
		"bad tenant":       {[]string{"--user", "91", "--tenant", "a.b"}, 2, "invalid --tenant"},
		"not confirmed":    {[]string{"--user", "91"}, 4, "not confirmed, nothing was done: erase all data of user 91 of tenant default"},
		"servers are away": {[]string{"--user", "91", "--yes", "--connect-timeout", "100ms", "--nats-url", "nats://127.0.0.1:1"}, 5, "nats"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{}
			status := w.run(testContext(t), cli.StarterCommand(), append([]string{"erase"}, c.args...)...)
			require.Contains(t, w.err.String(), c.want)
			require.Equal(t, c.status, status)
		})
	}
}
