package sandbox

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/freeport"
)

const debianPackages = "/usr/lib/python3/dist-packages"

// debianWheel makes a wheel of a Python package of Debian (tools/setup.sh --tests installs them).
func debianWheel(t *testing.T, dir, name string) Wheel {
	t.Helper()
	files := map[string]string{name + "-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1\n"}
	err := filepath.WalkDir(filepath.Join(debianPackages, name), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".pyc") {
			return err
		}
		relative, _ := filepath.Rel(debianPackages, path)
		text, err := os.ReadFile(path)
		files[relative] = string(text)
		return err
	})
	require.NoError(t, err)
	return writeWheel(t, dir, name+"-1-py3-none-any.whl", files)
}

// database is a real server on the loopback address.
type database struct{ address string }

const unprivileged = 65534

// startDatabase runs a command as an unprivileged user until the test ends, and waits until its port accepts connections.
func startDatabase(t *testing.T, port int, name string, args ...string) database {
	t.Helper()
	runs := exec.Command(name, args...)
	runs.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
	out := &lockedBuffer{}
	runs.Stdout, runs.Stderr = out, out
	require.NoError(t, runs.Start())
	t.Cleanup(func() {
		_ = runs.Process.Kill()
		_ = runs.Wait()
	})
	d := database{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", d.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, unhurried, 50*time.Millisecond, "%s", out)
	return d
}

// prepareDatabase runs a command that creates a data directory.
func prepareDatabase(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C") // initdb fails with a locale that the machine does not have
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// dataDirectory is a directory of an unprivileged user. Its path is short: servers put sockets into it.
func dataDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "db") //nolint:usetesting // another user must be able to reach it
	require.NoError(t, err)
	require.NoError(t, os.Chown(dir, unprivileged, unprivileged))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startPostgres(t *testing.T) database {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	require.NotEmpty(t, found, "PostgreSQL is not installed: run tools/setup.sh --tests")
	dir, port := dataDirectory(t), freeport.Choose()
	password := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(password, []byte("hunter2"), 0o644))
	require.NoError(t, os.Chmod(password, 0o644)) // whatever the umask
	data := filepath.Join(dir, "data")
	prepareDatabase(t, found[0], "-D", data, "-U", "shop", "-A", "scram-sha-256", "--pwfile", password, "--no-sync")
	return startDatabase(t, port, filepath.Join(filepath.Dir(found[0]), "postgres"), "-D", data, "-k", dir, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
}

// The data of a test need not survive: nothing waits for the disk.
func startMariaDB(t *testing.T) database {
	t.Helper()
	dir, port := dataDirectory(t), freeport.Choose()
	data := filepath.Join(dir, "data")
	noSync := []string{"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0"}
	prepareDatabase(t, "mariadb-install-db", append([]string{
		"--no-defaults", "--datadir=" + data, "--skip-test-db", "--auth-root-authentication-method=normal",
	}, noSync...)...)
	return startDatabase(t, port, "/usr/sbin/mariadbd", append([]string{
		"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--innodb-buffer-pool-size=8M",
	}, noSync...)...)
}

func startRedis(t *testing.T) database {
	t.Helper()
	port := freeport.Choose()
	return startDatabase(t, port, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--requirepass", "hunter2",
		"--save", "", "--dir", dataDirectory(t))
}

// clients are scripts that write and read through a real client library.
var clients = map[string]struct{ library, host, script string }{
	"PostgreSQL": {"psycopg2", "postgres.example:5432", `
    import psycopg2, hookturn
    port = hookturn.tunnel("postgres.example", 5432)
    with psycopg2.connect(host="127.0.0.1", port=port, user="shop", password="hunter2", dbname="postgres") as c, c.cursor() as q:
        q.execute("create table orders (id int, text text)")
        q.execute("insert into orders select n, repeat('x', 1000) from generate_series(1, 2000) n")
        q.execute("select count(*), sum(length(text)) from (select * from orders) o")
        counted = list(map(int, q.fetchone()))
        q.execute("select id, text from orders")
        return [psycopg2.__file__.startswith("/site/"), counted, len(q.fetchall())]
`},
	"MySQL": {"pymysql", "mysql.example:3306", `
    import pymysql
    c = pymysql.connect(host="mysql.example", port=3306, user="root")
    with c.cursor() as q:
        q.execute("create database shop")
        q.execute("create table shop.orders (id int, text varchar(2000))")
        q.executemany("insert into shop.orders values (%s, %s)", [(n, "x" * 1000) for n in range(2000)])
        q.execute("select count(*), sum(length(text)) from shop.orders")
        counted = list(map(int, q.fetchone()))
        q.execute("select * from shop.orders")
        return [pymysql.__file__.startswith("/site/"), counted, len(q.fetchall())]
`},
	"Redis": {"redis", "redis.example:6379", `
    import redis
    r = redis.Redis(host="redis.example", port=6379, password="hunter2", decode_responses=True)
    with r.pipeline() as p:
        for n in range(2000):
            p.set("order-%d" % n, "x" * 1000)
        p.execute()
    values = r.mget(["order-%d" % n for n in range(2000)])
    return [redis.__file__.startswith("/site/"), [len(values), sum(map(len, values))], 2000]
`},
}

// TestDatabases_Clients runs real client libraries, from wheels, against real servers, through the egress proxy.
func TestDatabases_Clients(t *testing.T) {
	servers := map[string]database{
		"postgres.example:5432": startPostgres(t), "mysql.example:3306": startMariaDB(t), "redis.example:6379": startRedis(t),
	}
	dir := t.TempDir()
	s := newSandbox(t, func(o *Options) {
		o.Packages = dir
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			d, known := servers[address]
			if !known {
				return nil, fault.New(fault.Blocked, "the address is not on the public internet")
			}
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, d.address)
		}
	})
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			j := job("def main(event, context):" + c.script)
			j.Packages, j.Connections = []Wheel{debianWheel(t, dir, c.library)}, []string{c.host}
			j.Host = http.NotFoundHandler()
			r, f := s.Run(t.Context(), j)
			require.Nil(t, f, r.Log)
			require.JSONEq(t, `[true, [2000, 2000000], 2000]`, string(r.Value))

			j.Connections = []string{"other.example"}
			_, f = s.Run(t.Context(), j)
			require.NotNil(t, f)
			require.Equal(t, fault.ScriptException, f.Kind)
			require.Contains(t, f.Message, fmt.Sprintf("the key connections of this bot does not list %s", c.host))
		})
	}
}
