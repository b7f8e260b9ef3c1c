package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The processes of the rig, by the names under which their CPU is shown.
const (
	server   = "server"
	worker   = "worker"
	starter  = "starter"
	database = "database" // PostgreSQL, when the benchmark started it
	engine   = "engine"   // this process: the load generator and the endpoint
)

// process is a subcommand of devstack that runs beside us.
type process struct {
	cmd   *exec.Cmd
	first chan string // the first line of its standard output
}

func spawn(program string, logs io.Writer, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), first: make(chan string, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = logs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			p.first <- lines.Text()
		}
		close(p.first)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	return p, nil
}

// firstLine waits for the process's first line of output.
func (p *process) firstLine(ctx context.Context) (string, error) {
	select {
	case line, ok := <-p.first:
		if !ok {
			return "", errors.New("the process ended before it was ready")
		}
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// stop asks the process to end, and makes it end after ten seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait()
}

// usage is CPU time by process.
type usage map[string]time.Duration

func (u usage) perStep(name string, steps int) time.Duration {
	if steps == 0 {
		return 0
	}
	return u[name] / time.Duration(steps)
}

// subtract leaves what was used since a moment.
func (u usage) subtract(before usage) {
	for name := range u {
		u[name] -= before[name]
	}
}

// cpuTime is the user and system time that a process has used, from /proc (clock ticks of 10 ms).
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before it may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
