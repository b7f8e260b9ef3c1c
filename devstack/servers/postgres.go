package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	postgresschema "go.temporal.io/server/schema/postgresql/v12"
)

// postgresShards is how many history shards a server on PostgreSQL has when the options do not say: transitions of one
// shard wait for each other, and each waits for a commit.
const postgresShards = 64

// postgresConns is how many connections the server keeps to each of its databases.
const postgresConns = 40

// openPostgres describes the databases of a server on PostgreSQL, and creates what is missing: the databases, their
// schemas and the namespace.
func openPostgres(opts TemporalOptions) (database, error) {
	u, err := url.Parse(opts.Postgres)
	name := strings.TrimPrefix(path.Clean("/"+u.Path), "/")
	if err != nil || u.Scheme != "postgres" || u.Host == "" || name == "" || u.User == nil {
		return database{}, errors.New("invalid PostgreSQL URL: expected postgres://user:password@host:port/database")
	}
	db := database{main: postgresConfig(u, name), visibility: postgresConfig(u, name+"_visibility"), shards: postgresShards}
	if opts.HistoryShards > 0 {
		db.shards = int32(opts.HistoryShards)
	}
	if err := preparePostgres(u, db.main, "temporal", postgresschema.Version); err != nil {
		return database{}, err
	}
	if err := preparePostgres(u, db.visibility, "visibility", postgresschema.VisibilityVersion); err != nil {
		return database{}, err
	}
	return db, createNamespace(db.main, opts.Namespace)
}

func postgresConfig(u *url.URL, name string) *config.SQL {
	password, _ := u.User.Password()
	return &config.SQL{
		PluginName: postgresql.PluginNamePGX, DatabaseName: name, ConnectProtocol: "tcp", ConnectAddr: u.Host,
		User: u.User.Username(), Password: password, MaxConns: postgresConns, MaxIdleConns: postgresConns,
	}
}

// preparePostgres creates a database with its schema, unless it is there.
func preparePostgres(u *url.URL, cfg *config.SQL, schemaName, version string) error {
	if found, err := schemaVersion(cfg); err == nil {
		if found != version {
			return fmt.Errorf("database %s has schema version %s, expected %s: use another database",
				cfg.DatabaseName, found, version)
		}
		return nil
	}
	err := withPostgres(postgresConfig(u, "postgres"), func(db sqlplugin.AdminDB) error {
		return db.CreateDatabase(cfg.DatabaseName)
	})
	if err != nil {
		return fmt.Errorf("create database %s: %w", cfg.DatabaseName, err)
	}
	statements, err := schemaStatements(schemaName)
	if err != nil {
		return err
	}
	return withPostgres(cfg, func(db sqlplugin.AdminDB) error {
		for _, statement := range statements {
			if err := db.Exec(statement); err != nil {
				return fmt.Errorf("create schema of database %s: %w", cfg.DatabaseName, err)
			}
		}
		if err := db.CreateSchemaVersionTables(); err != nil {
			return fmt.Errorf("create version tables of database %s: %w", cfg.DatabaseName, err)
		}
		return db.UpdateSchemaVersion(cfg.DatabaseName, version, version)
	})
}

func schemaVersion(cfg *config.SQL) (version string, err error) {
	err = withPostgres(cfg, func(db sqlplugin.AdminDB) (err error) {
		version, err = db.ReadSchemaVersion(cfg.DatabaseName)
		return err
	})
	return version, err
}

// schemaStatements reads the schema that the server's module carries.
func schemaStatements(name string) ([]string, error) {
	text, err := fs.ReadFile(schema.Assets(), path.Join("postgresql/v12", name, "schema.sql"))
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", name, err)
	}
	return persistence.LoadAndSplitQueryFromReaders([]io.Reader{bytes.NewReader(text)})
}

func withPostgres(cfg *config.SQL, work func(sqlplugin.AdminDB) error) error {
	db, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(), log.NewNoopLogger(),
		metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("connect to database %s at %s: %w", cfg.DatabaseName, cfg.ConnectAddr, err)
	}
	return errors.Join(work(db), db.Close())
}
