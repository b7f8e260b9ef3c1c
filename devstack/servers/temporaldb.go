package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// databaseName is the file in the data directory that holds Temporal's histories and its visibility records.
const databaseName = "temporal.db"

// database is where a server keeps histories and visibility records.
type database struct {
	main, visibility *config.SQL // the same for SQLite
	shards           int32
}

// openDatabase describes the database for the server and makes sure that its schema and the namespace exist.
func openDatabase(opts TemporalOptions) (database, error) {
	if opts.Postgres != "" {
		return openPostgres(opts)
	}
	if opts.HistoryShards > 1 {
		return database{}, errors.New("SQLite has one connection: more than one history shard needs --temporal-postgres")
	}
	cfg := memoryDatabase()
	if opts.DataDir != "" {
		path, err := prepareDatabaseFile(opts.DataDir)
		if err != nil {
			return database{}, err
		}
		cfg = fileDatabase(path, opts.SyncAlways)
	}
	if err := createNamespace(cfg, opts.Namespace); err != nil {
		return database{}, err
	}
	return database{main: cfg, visibility: cfg, shards: 1}, nil
}

// memoryDatabase lives as long as the process; the random name keeps two servers apart.
func memoryDatabase() *config.SQL {
	return &config.SQL{
		PluginName:        sqlite.PluginName,
		DatabaseName:      "hookturn-" + uuid.NewString(),
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		MaxConns:          1,
		MaxIdleConns:      1,
	}
}

// fileDatabase is one connection to a file with a write-ahead log. More connections only make writers wait for each
// other. Whatever is committed survives the end of the process; the last commits survive a power cut only when each of
// them waits for the disk.
func fileDatabase(path string, syncAlways bool) *config.SQL {
	synchronous := "normal"
	if syncAlways {
		synchronous = "full"
	}
	return &config.SQL{
		PluginName:   sqlite.PluginName,
		DatabaseName: path,
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  synchronous,
			"busy_timeout": "10000",
		},
		MaxConns:     1,
		MaxIdleConns: 1,
	}
}

// prepareDatabaseFile returns the path of a database that has the schema, and creates it when there is none. The schema
// is written to a file of another name first, so that a start that was interrupted leaves no half a database behind.
func prepareDatabaseFile(dataDir string) (string, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", fmt.Errorf("data directory %q: %w", dataDir, err)
	}
	if strings.ContainsAny(dir, "?#%") {
		return "", fmt.Errorf("data directory %q: SQLite takes no path with ?, # or %% in it", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create data directory: %w", err)
	}
	path := filepath.Join(dir, databaseName)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !os.IsNotExist(err) {
		return "", fmt.Errorf("look for the database: %w", err)
	}
	return path, createDatabaseFile(path)
}

func createDatabaseFile(path string) error {
	draft, err := os.CreateTemp(filepath.Dir(path), databaseName+".new-*")
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	defer func() { _ = draft.Close() }()
	cfg := fileDatabase(draft.Name(), false)
	// Sixty statements in transactions of their own: nothing is lost when they do not survive a power cut.
	cfg.ConnectAttributes["journal_mode"], cfg.ConnectAttributes["synchronous"] = "memory", "off"
	if err := sqliteschema.SetupSchema(cfg); err != nil {
		_ = os.Remove(draft.Name())
		return fmt.Errorf("create database schema: %w", err)
	}
	if err := draft.Sync(); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return fmt.Errorf("put database in place: %w", err)
	}
	return nil
}

// createNamespace registers the namespace with a retention of 24 hours, unless it exists. Writing it to the database
// before the server starts makes it and its search attributes usable at once; registered over the API, they would
// be seen by the server's caches some seconds later.
func createNamespace(cfg *config.SQL, namespace string) error {
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, namespace, false, searchAttributes())
	if err != nil {
		return fmt.Errorf("describe namespace %q: %w", namespace, err)
	}
	if err := sqliteschema.CreateNamespaces(cfg, ns); err != nil {
		return fmt.Errorf("create namespace %q: %w", namespace, err)
	}
	return nil
}
