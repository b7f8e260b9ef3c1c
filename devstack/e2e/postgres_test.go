package e2e

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/servers"
)

// postgresVariable lets the tests that start their servers here run Temporal on PostgreSQL instead of SQLite; "make soak"
// sets it for the tests of the tools.
const postgresVariable = "HOOKTURN_E2E_POSTGRES"

// temporalDatabase returns the URL of a database for Temporal and the directory of its server's files; both are empty when
// Temporal is to use SQLite.
func temporalDatabase(t testing.TB) (url, dir string) {
	t.Helper()
	if os.Getenv(postgresVariable) == "" {
		return "", ""
	}
	return startPostgres(t)
}

// startPostgres starts a PostgreSQL server that ends with the test, after what the test starts from now on.
func startPostgres(t testing.TB) (url, dir string) {
	t.Helper()
	db, err := servers.NewPostgres(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Remove()) })
	require.NoError(t, db.Start(t.Context()))
	return db.URL("temporal"), db.Dir()
}
