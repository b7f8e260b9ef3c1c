package sandbox

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed zygote.py runner.py hookturn_host.py
var programs embed.FS

// programFiles are the files of the zygote's program, in the order of their descriptors.
var programFiles = []string{"zygote.py", "runner.py", "hookturn_host.py"}

// preload lists the Python modules that are loaded before a script runs.
var preload = []string{
	"asyncio", "base64", "collections", "concurrent.futures.thread", "csv", "dataclasses", "datetime", "decimal",
	"email.message", "hashlib", "hmac", "http.client", "inspect", "itertools", "json", "linecache", "logging",
	"math", "random", "re", "requests", "ssl", "string", "time", "traceback", "types", "urllib.parse",
	"urllib.request", "uuid", "xml.etree.ElementTree", "zoneinfo",
}

// zygote is a process that forks sandbox processes with all modules loaded.
type zygote struct {
	cmd       *exec.Cmd
	ctl       *net.UnixConn
	stderr    *tailBuffer
	exited    chan struct{}
	began     time.Time
	spawned   int
	processes atomic.Int64 // in use
	landlock  int          // version of the kernel; 0 or less: not available
	retired   atomic.Bool
	shutdown  sync.Once
}

// startZygote starts the zygote in bubblewrap and waits until its modules are loaded.
func startZygote(ctx context.Context, o Options, users Users) (*zygote, error) {
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	given := []*os.File{theirs} // descriptor 3; the program follows
	defer func() { closeAll(given) }()
	for _, name := range programFiles {
		source, err := programFile(name)
		if err != nil {
			_ = ours.Close()
			return nil, err
		}
		given = append(given, source)
	}
	z := &zygote{ctl: ours, stderr: &tailBuffer{}, exited: make(chan struct{}), began: time.Now()}
	z.cmd = exec.Command(o.Bubblewrap, o.arguments()...) //nolint:gosec,noctx // the operator sets both; it outlives the caller
	z.cmd.Dir, z.cmd.Env = "/", []string{}
	z.cmd.ExtraFiles = given
	z.cmd.Stderr = z.stderr
	// A user namespace with a range of ids: the zygote is user 0, which is not a user of the host, and every process has
	// another id.
	z.cmd.SysProcAttr = ownUsers(users)
	err = z.cmd.Start()
	closeAll(given) // otherwise the end of the other side would not be noticed
	given = nil
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start bubblewrap as the users %s: %w", users, err)
	}
	go func() {
		_ = z.cmd.Wait() // its messages are in stderr
		close(z.exited)
	}()
	if err := z.configure(ctx, o); err != nil {
		z.kill()
		<-z.exited
		return nil, fmt.Errorf("%w: %s", err, z.stderr)
	}
	return z, nil
}

// arguments returns the arguments of bubblewrap: no network, and a read-only file system. The user namespace exists already.
// The zygote keeps the capabilities to change the user id of a process.
func (o Options) arguments() []string {
	args := []string{
		"--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--new-session",
		"--die-with-parent", "--clearenv", "--setenv", "MALLOC_ARENA_MAX", "1", "--hostname", "sandbox",
		"--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
	}
	// Bubblewrap creates missing parent directories with mode 0700, which other users cannot read.
	for _, dir := range []string{"/usr", "/usr/bin", "/usr/share", "/etc", "/dev", "/hookturn"} {
		args = append(args, "--perms", "0755", "--dir", dir)
	}
	for _, path := range []string{
		"/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/etc/ssl", "/etc/ld.so.cache",
	} {
		args = append(args, "--ro-bind-try", path, path)
	}
	args = append(args, "--ro-bind", o.Python, o.Python, "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dir", "/tmp", "--dir", "/code")
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"} {
		args = append(args, "--dev-bind", device, device)
	}
	if o.packages != "" {
		args = append(args, "--ro-bind", o.packages, "/packages", "--perms", "0755", "--dir", "/site")
	}
	for i, name := range programFiles {
		args = append(args, "--perms", "0444", "--ro-bind-data", strconv.Itoa(4+i), "/hookturn/"+name)
	}
	return append(args, "--remount-ro", "/", "--chdir", "/", "--", o.Python, "-I", "-B", "/hookturn/zygote.py")
}

// config is the first message to the zygote.
type config struct {
	Filter      []byte            `json:"filter"` // base64
	Preload     []string          `json:"preload"`
	Limits      map[string]int    `json:"limits"`
	TmpBytes    int               `json:"tmp_bytes"`
	CodeBytes   int               `json:"code_bytes"`
	StackBytes  int               `json:"stack_bytes"`  // of a thread
	SocketBytes string            `json:"socket_bytes"` // minimum, initial and maximum size of a buffer
	Without     []string          `json:"without"`      // layers that a test takes away
	LogBytes    int               `json:"log_bytes"`
	Environment map[string]string `json:"environment"`
	Packages    bool              `json:"packages"`  // /packages exists
	Clone       int               `json:"clone"`     // number of the system call
	CloneTID    int               `json:"clone_tid"` // position of child_tid among its arguments, from 1
}

func (z *zygote) configure(ctx context.Context, o Options) error {
	filter, err := seccompFilter()
	if err != nil {
		return err
	}
	proxy := fmt.Sprintf("http://127.0.0.1:%d", proxyPort)
	message, err := json.Marshal(config{
		Filter: filter, Preload: preload, TmpBytes: tmpBytes, CodeBytes: 4 * ScriptMax, StackBytes: stackBytes, LogBytes: LogMax,
		SocketBytes: "4096 65536 262144", Without: append([]string{}, o.without...),
		Limits: map[string]int{
			"RLIMIT_CPU": cpuSeconds, "RLIMIT_AS": memoryBytes, "RLIMIT_FSIZE": fileBytes, "RLIMIT_NOFILE": filesOpen,
			"RLIMIT_NPROC": threads + 1, // the main thread too
			"RLIMIT_STACK": 2 * stackBytes, "RLIMIT_SIGPENDING": 64,
			"RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0,
		},
		Packages: o.packages != "", Clone: cloneCall, CloneTID: cloneTID,
		Environment: map[string]string{
			"LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp", "PATH": "/usr/bin", "TZ": "UTC",
			"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "http_proxy": proxy, "https_proxy": proxy,
		},
	})
	if err != nil {
		return err
	}
	defer bounded(ctx, z.ctl, startTimeout)()
	if _, err := z.ctl.Write(message); err != nil {
		return fmt.Errorf("configure the zygote: %w", err)
	}
	answer := make([]byte, 16)
	n, err := z.ctl.Read(answer)
	if err != nil {
		return errors.New("zygote did not become ready")
	}
	if _, err := fmt.Sscanf(string(answer[:n]), "ready %d", &z.landlock); err != nil {
		return errors.New("zygote did not become ready")
	}
	return nil
}

// ask requests a process in a place, with the folder of its packages ("" = none), and does not wait until it is ready. It
// calls gone after the process has ended completely.
func (z *zygote) ask(at place, packages string, gone func()) (*process, error) {
	c := &process{zygote: z, place: at, gone: gone}
	theirs, err := c.connect()
	if err != nil {
		c.close()
		return nil, err
	}
	z.spawned++
	z.processes.Add(1)
	c.counted = true
	request := strings.TrimSpace(fmt.Sprint(at.user, " ", packages))
	_, _, err = z.ctl.WriteMsgUnix([]byte(request), unix.UnixRights(numbers(theirs)...), nil)
	closeAll(theirs) // otherwise the end of the other side would not be noticed
	if err != nil {
		c.close()
		return nil, fmt.Errorf("request a sandbox process from the zygote: %w: %s", err, z.stderr)
	}
	c.asked = true
	return c, nil
}

func numbers(files []*os.File) []int {
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

// worn reports whether the zygote must be replaced: it started enough processes, is too old, or ended.
func (z *zygote) worn() bool {
	select {
	case <-z.exited:
		return true
	default:
	}
	return z.spawned >= zygoteRuns || time.Since(z.began) > zygoteMaxAge
}

// retire ends the zygote when its last process has ended.
func (z *zygote) retire() {
	z.retired.Store(true)
	if z.processes.Load() == 0 {
		z.kill()
	}
}

// release is called once for each process that ended.
func (z *zygote) release() {
	if z.processes.Add(-1) == 0 && z.retired.Load() {
		z.kill()
	}
}

// kill ends the zygote and all processes in its namespaces.
func (z *zygote) kill() {
	z.shutdown.Do(func() {
		_ = z.ctl.Close()
		if z.cmd.Process != nil {
			_ = z.cmd.Process.Kill()
		}
	})
}

// deadliner is a connection or a pipe.
type deadliner interface{ SetDeadline(t time.Time) error }

// bounded ends reads and writes of a connection at a timeout or when ctx ends, until the returned function is called.
func bounded(ctx context.Context, conn deadliner, timeout time.Duration) (done func()) {
	_ = conn.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		stop()
		_ = conn.SetDeadline(time.Time{})
	}
}

// programFile returns a file in memory with a part of the zygote's program.
func programFile(name string) (*os.File, error) {
	content, err := programs.ReadFile(name)
	if err != nil {
		return nil, err
	}
	file, err := memoryFile(name)
	if err != nil {
		return nil, fmt.Errorf("create a file in memory: %w", err)
	}
	_, err = file.Write(content)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write a file in memory: %w", err)
	}
	return file, nil
}

// tailBuffer keeps the last bytes of a process's output.
type tailBuffer struct {
	mu   sync.Mutex
	text []byte
}

const tailMax = 2000

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailMax; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(bytes.ToValidUTF8(t.text, []byte("?"))))
}
