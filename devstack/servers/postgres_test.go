package servers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/servers"
)

// TestTemporal_Postgres runs a server on PostgreSQL with many shards, and starts it again on the same databases after
// PostgreSQL was killed.
func TestTemporal_Postgres(t *testing.T) {
	t.Parallel()
	db, err := servers.NewPostgres(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Remove()) })
	require.NoError(t, db.Start(t.Context()))
	opts := servers.TemporalOptions{Postgres: db.URL("temporal"), HistoryShards: 8}
	srv := startTemporal(t, opts)
	c := dial(t, srv.Addr())
	require.Equal(t, "hello shop", runHello(t, c, "greeting", "shop"))
	requireFound(t, srv, `HookturnBot = "shop"`, 1)
	c.Close()
	srv.Stop()
	db.Kill()
	require.NoError(t, db.Start(t.Context()))
	again := startTemporal(t, opts)
	c = dial(t, again.Addr())
	defer c.Close()
	require.Equal(t, "hello shop", helloResult(t, c, "greeting", ""))
}

func TestTemporal_InvalidDatabase(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mysql://u:p@127.0.0.1/temporal":      "expected postgres://",
		"postgres://127.0.0.1:1/temporal":     "expected postgres://",
		"postgres://u:p@127.0.0.1:1/":         "expected postgres://",
		"postgres://u:p@127.0.0.1:1/temporal": "create database",
	} {
		_, err := servers.StartTemporal(t.Context(), servers.TemporalOptions{Postgres: url})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "u:p", "no password in an error")
	}
	_, err := servers.StartTemporal(t.Context(), servers.TemporalOptions{HistoryShards: 4})
	require.ErrorContains(t, err, "history shard")
}
