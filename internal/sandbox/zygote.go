package sandbox

import (
	"bytes"
	"context"
	_ "embed" // of the zygote's program
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed zygote.py
var program []byte

// preload are the modules that a cell finds loaded.
var preload = []string{
	"base64", "collections", "csv", "datetime", "decimal", "email.message", "hashlib", "hmac", "http.client", "inspect",
	"itertools", "json", "linecache", "logging", "math", "random", "re", "requests", "ssl", "string", "time", "traceback",
	"types", "urllib.parse", "urllib.request", "uuid", "xml.etree.ElementTree", "zoneinfo",
}

// zygote is a process that makes cells by forking.
type zygote struct {
	cmd      *exec.Cmd
	ctl      *net.UnixConn
	stderr   *tailBuffer
	exited   chan struct{}
	began    time.Time
	spawned  int
	cells    atomic.Int64 // that are still in use
	retired  atomic.Bool
	shutdown sync.Once
}

// startZygote starts bubblewrap with the program in it and waits until its modules are loaded.
func startZygote(ctx context.Context, o Options) (*zygote, error) {
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	source, err := memoryFile("zygote.py", program)
	if err != nil {
		_ = ours.Close()
		closeAll([]*os.File{theirs})
		return nil, err
	}
	z := &zygote{ctl: ours, stderr: &tailBuffer{}, exited: make(chan struct{}), began: time.Now()}
	z.cmd = exec.Command(o.Bubblewrap, o.arguments()...) //nolint:gosec,noctx // both are the operator's; it outlives the caller
	z.cmd.Dir, z.cmd.Env = "/", []string{}
	z.cmd.ExtraFiles = []*os.File{theirs, source} // 3 and 4
	z.cmd.Stderr = z.stderr
	id := uint32(o.UserID)
	z.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}, Setpgid: true}
	err = z.cmd.Start()
	closeAll([]*os.File{theirs, source}) // or we would never see the other end go
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start bubblewrap: %w", err)
	}
	go func() {
		_ = z.cmd.Wait() // its words are in stderr
		close(z.exited)
	}()
	if err := z.configure(ctx); err != nil {
		z.kill()
		<-z.exited
		return nil, fmt.Errorf("%w: %s", err, z.stderr)
	}
	return z, nil
}

// arguments is what bubblewrap makes: an own user, no network, a read-only system, nothing to write to.
func (o Options) arguments() []string {
	args := []string{
		"--unshare-all", "--new-session", "--die-with-parent", "--clearenv", "--cap-drop", "ALL", "--hostname", "sandbox",
	}
	for _, path := range []string{
		"/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/etc/ssl", "/etc/ld.so.cache",
	} {
		args = append(args, "--ro-bind-try", path, path)
	}
	args = append(args, "--ro-bind", o.Python, o.Python, "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dir", "/dev", "--dir", "/tmp")
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"} {
		args = append(args, "--dev-bind", device, device)
	}
	return append(args, "--perms", "0444", "--ro-bind-data", "4", "/zygote.py", "--remount-ro", "/", "--chdir", "/",
		"--", o.Python, "-I", "-B", "/zygote.py")
}

// config is the zygote's first message.
type config struct {
	Filter      []byte            `json:"filter"` // base64
	Preload     []string          `json:"preload"`
	Limits      map[string]int    `json:"limits"`
	TmpBytes    int               `json:"tmp_bytes"`
	LogBytes    int               `json:"log_bytes"`
	Environment map[string]string `json:"environment"`
}

func (z *zygote) configure(ctx context.Context) error {
	filter, err := seccompFilter()
	if err != nil {
		return err
	}
	proxy := fmt.Sprintf("http://127.0.0.1:%d", proxyPort)
	message, err := json.Marshal(config{
		Filter: filter, Preload: preload, TmpBytes: tmpBytes, LogBytes: LogMax,
		Limits: map[string]int{
			"RLIMIT_CPU": cpuSeconds, "RLIMIT_AS": memoryBytes, "RLIMIT_FSIZE": fileBytes, "RLIMIT_NOFILE": filesOpen,
			"RLIMIT_NPROC": threads, "RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0,
		},
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
	if err != nil || string(answer[:n]) != "ready" {
		return errors.New("the zygote is not ready")
	}
	return nil
}

// spawn makes a cell and waits until it is ready for a job.
func (z *zygote) spawn(ctx context.Context) (*cell, error) {
	data, theirData, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	status, theirStatus, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		_ = data.Close()
		closeAll([]*os.File{theirData})
		return nil, err
	}
	z.spawned++
	z.cells.Add(1)
	c := &cell{zygote: z, data: data, status: status}
	rights := unix.UnixRights(int(theirData.Fd()), int(theirStatus.Fd()))
	_, _, err = z.ctl.WriteMsgUnix([]byte("cell"), rights, nil)
	closeAll([]*os.File{theirData, theirStatus}) // or we would never see the other end go
	if err != nil {
		c.close()
		return nil, fmt.Errorf("ask the zygote for a cell: %w: %s", err, z.stderr)
	}
	if err := c.awaitReady(ctx); err != nil {
		c.close()
		return nil, fmt.Errorf("%w: %s", err, z.stderr)
	}
	return c, nil
}

// worn says that the zygote has made enough cells, or died.
func (z *zygote) worn() bool {
	select {
	case <-z.exited:
		return true
	default:
	}
	return z.spawned >= zygoteRuns || time.Since(z.began) > zygoteMaxAge
}

// retire ends the zygote when its last cell is done.
func (z *zygote) retire() {
	z.retired.Store(true)
	if z.cells.Load() == 0 {
		z.kill()
	}
}

// release is called once for each cell that is done.
func (z *zygote) release() {
	if z.cells.Add(-1) == 0 && z.retired.Load() {
		z.kill()
	}
}

// kill ends the zygote and with it everything in its namespaces.
func (z *zygote) kill() {
	z.shutdown.Do(func() {
		_ = z.ctl.Close()
		if z.cmd.Process != nil {
			_ = z.cmd.Process.Kill()
		}
	})
}

// bounded ends reads and writes of a connection at a time-out or when ctx ends, until the returned function is called.
func bounded(ctx context.Context, conn net.Conn, timeout time.Duration) (done func()) {
	_ = conn.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		stop()
		_ = conn.SetDeadline(time.Time{})
	}
}

// socketPair gives our end as a connection and the other as a file to pass on.
func socketPair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "sandbox"), os.NewFile(uintptr(fds[1]), "sandbox")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // FileConn has a copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("use a socket pair: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		_ = theirs.Close()
		return nil, nil, errors.New("a socket pair is no unix connection")
	}
	return unixConn, theirs, nil
}

// memoryFile is a file without a name that holds a text.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
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

// tailBuffer keeps the end of what a process writes.
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
