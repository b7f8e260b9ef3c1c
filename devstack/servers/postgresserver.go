package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Postgres is a PostgreSQL server that runs as a process of its own, on loopback, with its data in a temporary
// directory.
type Postgres struct {
	addr     address
	dir      string
	password string
	bin      string
	owner    *syscall.Credential // nil: the caller's
	cmd      *exec.Cmd
	ended    chan struct{}
}

// postgresUser is the superuser of the server's databases. postgresSystemUser is the system's user that runs the
// server when the caller is root, which PostgreSQL does not run as; Debian's package creates it.
const (
	postgresUser       = "hookturn"
	postgresSystemUser = "postgres"
)

// NewPostgres prepares a server with empty databases. The binaries are those of Debian's package "postgresql".
func NewPostgres(ctx context.Context) (*Postgres, error) {
	p := &Postgres{addr: freeAddress(), password: rand.Text()}
	var err error
	if p.bin, err = postgresBinaries(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "hookturn-postgres-"); err != nil {
		return nil, fmt.Errorf("prepare postgresql: %w", err)
	}
	if err := p.initialize(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare postgresql: %w", err), os.RemoveAll(p.dir))
	}
	return p, nil
}

// postgresBinaries returns the directory of initdb and postgres, of the newest version that is installed.
func postgresBinaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed: run \"apt-get install postgresql\": %w", err)
	}
	return filepath.Dir(path), nil
}

func (p *Postgres) initialize(ctx context.Context) error {
	secret := filepath.Join(p.dir, "password")
	if err := os.WriteFile(secret, []byte(p.password), 0o600); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := p.giveTo(postgresSystemUser, p.dir, secret); err != nil {
			return err
		}
	}
	cmd := p.command(ctx, "initdb", "--pgdata="+p.data(), "--username="+postgresUser, "--auth=scram-sha-256",
		"--pwfile="+secret,
		"--encoding=UTF8", "--no-locale", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// giveTo changes the owner of files and of the server's process to a system user.
func (p *Postgres) giveTo(name string, files ...string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return err
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, file := range files {
		if err := os.Chown(file, int(uid), int(gid)); err != nil {
			return err
		}
	}
	return nil
}

// command is one of PostgreSQL's programs, as the system's user that owns the data. It ends with the caller's process.
func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.owner, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start starts the server and returns when it accepts connections. After Stop or Kill it may be called again.
func (p *Postgres) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start postgresql: %w", err)
	}
	defer log.Close()
	cmd := p.command(context.WithoutCancel(ctx), "postgres", "-D", p.data(), "-h", p.addr.IP, "-p", strconv.Itoa(p.addr.Port),
		"-k", p.dir, "-c", "max_connections=200")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start postgresql: %w", err)
	}
	ended := make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	go func() {
		defer close(ended)
		defer cancel() // nothing to wait for
		_ = cmd.Wait() // the status of a stopped server is not used
	}()
	p.cmd, p.ended = cmd, ended
	return await(ctx, "postgresql at "+p.addr.String(), func() error { return p.ping(ctx, ended) })
}

func (p *Postgres) ping(ctx context.Context, ended chan struct{}) error {
	select {
	case <-ended:
		text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		return fmt.Errorf("server ended: %s", strings.TrimSpace(string(text[max(0, len(text)-500):])))
	default:
	}
	return p.command(ctx, "pg_isready", "-q", "-h", p.addr.IP, "-p", strconv.Itoa(p.addr.Port)).Run()
}

// URL returns the address of a database of the server.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s", postgresUser, p.password, p.addr, database)
}

// Dir returns the directory with all files of the server.
func (p *Postgres) Dir() string { return p.dir }

// PID returns the process id of the running server, which is also the id of its process group.
func (p *Postgres) PID() int { return p.cmd.Process.Pid }

// stopPostgres bounds the wait for a fast shutdown.
const stopPostgres = 10 * time.Second

// Stop ends the server as its own tools do: it rolls back open transactions and closes all connections.
func (p *Postgres) Stop() { p.signal(syscall.SIGINT) }

// Kill ends the server and all its processes at once: the next start recovers from the write-ahead log, as after a
// crash.
func (p *Postgres) Kill() { p.signal(syscall.SIGQUIT) }

func (p *Postgres) signal(s syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	timeout := time.NewTimer(stopPostgres)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	p.cmd = nil
}

// Remove ends the server and deletes its data.
func (p *Postgres) Remove() error {
	p.Kill()
	return os.RemoveAll(p.dir)
}
