package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/freeport"
)

// programs are the product's own binaries, built once for all tests.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func program(t testing.TB, name string) string {
	t.Helper()
	programs.once.Do(func() {
		// it outlives the test
		if programs.dir, programs.err = os.MkdirTemp("", "hookturn-e2e-"); programs.err != nil { //nolint:usetesting // outlives the test
			return
		}
		build := exec.Command("go", "build", "-o", programs.dir, "./worker", "./starter")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, programs.err)
	return filepath.Join(programs.dir, name)
}

func removePrograms() {
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
}

// proc is a program that runs beside the test.
type proc struct {
	cmd    *exec.Cmd
	lines  chan string // of its standard output
	waited chan struct{}
	log    string // path of its standard error
}

// run starts a program that ends with the test at the latest. Its log is shown when the test fails.
func run(t testing.TB, path string, env []string, args ...string) *proc {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	p := &proc{cmd: exec.Command(path, args...), lines: make(chan string, 64), waited: make(chan struct{}), log: log.Name()}
	p.cmd.Env = append(os.Environ(), asUser(filepath.Base(path), env)...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default:
			}
		}
		_ = p.cmd.Wait() // the status of a killed program is not used
		close(p.waited)
	}()
	t.Cleanup(func() {
		p.kill()
		_ = log.Close()
		if t.Failed() {
			if text, err := os.ReadFile(log.Name()); err == nil {
				t.Logf("%s %s:\n%s", filepath.Base(path), strings.Join(args, " "), tail(text))
			}
		}
	})
	return p
}

func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }

// kill ends the program as a crash would.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	<-p.waited
}

// stop asks the program to end and waits for it.
func (p *proc) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.waited:
	case <-time.After(patience):
		t.Fatal("the program did not stop")
	}
}

// awaitReady waits until programs serve. One that ends instead fails the test.
func awaitReady(t testing.TB, programs ...*proc) {
	t.Helper()
	began := time.Now()
	for _, p := range programs {
		for readyStatus(p) != http.StatusOK {
			select {
			case <-p.waited:
				t.Fatalf("%s ended at its start: see its log", p.cmd.Path)
			case <-time.After(50 * time.Millisecond):
				require.Less(t, time.Since(began), time.Duration(len(programs))*patience, "%s is not ready", p.cmd.Path)
			}
		}
	}
}

// readyStatus returns the status of a program's /readyz, 0 when its admin listener does not answer.
func readyStatus(p *proc) int {
	for _, variable := range p.cmd.Env {
		if addr, is := strings.CutPrefix(variable, "HOOKTURN_ADMIN_ADDR="); is {
			answer, err := http.Get("http://" + addr + "/readyz")
			if err != nil {
				return 0
			}
			_ = answer.Body.Close()
			return answer.StatusCode
		}
	}
	return 0
}

// runServers runs "devstack" and waits until it is ready.
func runServers(t testing.TB, args ...string) (*proc, map[string]string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	if url, _ := temporalDatabase(t); url != "" {
		args = append(args, "--temporal-postgres="+url)
	}
	p := run(t, self, []string{role + "=devstack"}, append([]string{"--webhook-addr="}, args...)...)
	select {
	case line := <-p.lines:
		where := map[string]string{}
		for word := range strings.FieldsSeq(line) {
			name, addr, _ := strings.Cut(word, "=")
			where[name] = addr
		}
		require.Contains(t, where, "nats", line)
		setUp(t, "nats://"+where["nats"])
		return p, where
	case <-p.waited:
		t.Fatal("devstack ended before it was ready")
	case <-time.After(patience):
		t.Fatal("devstack is not ready")
	}
	return nil, nil
}

// environment is how the product's programs reach the servers.
func environment(where map[string]string, bots string) []string {
	return []string{
		"HOOKTURN_NATS_URL=nats://" + where["nats"], "HOOKTURN_BOTS=" + bots, "HOOKTURN_FREE_SECRETS=true",
		"HOOKTURN_EGRESS_ALLOW=127.0.0.1",
		"TEMPORAL_ADDRESS=" + where["temporal"], "HOOKTURN_ADMIN_ADDR=" + freeAddr(),
	}
}

// freeAddr returns a loopback address that stays free while nothing listens there.
func freeAddr() string { return fmt.Sprintf("127.0.0.1:%d", freeport.Choose()) }

// anyPort are the flags by which every server chooses its port.
func anyPort() []string {
	return []string{
		"--nats-addr=127.0.0.1:0", "--temporal-addr=127.0.0.1:0", "--ui-addr=127.0.0.1:0", "--gateway-addr=127.0.0.1:0",
		"--admin-addr=127.0.0.1:0",
	}
}

// unhurried is for a step that must succeed however slowly the test does what it does before the endpoint answers. 30 s is the
// longest attempt that a bot file can have, so that the endpoint may be called more than once.
const unhurried = "timeout: 10m, attempt_timeout: 30s, retry: {max_attempts: 20}, limits: {trip_after: 1000}"

// bots writes one bot file whose steps call an endpoint.
func bots(t testing.TB, url string) string {
	t.Helper()
	dir := t.TempDir()
	content := fmt.Sprintf(`bot: shop
base_urls: {test: %q}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: /orders}}
  FLAKY: {webhook: {path: /flaky, retry: {initial: 10ms}, limits: {trip_after: 1000}}}
  HELD: {webhook: {path: /held, `+unhurried+`}}
  ENDLESS: {webhook: {path: /chaos/endless-body, limits: {trip_after: 1000}}}
  BOMB: {webhook: {path: /chaos/gzip-bomb, limits: {trip_after: 1000}}}
  MEMORY: {webhook: {path: /remember}}
  BUSY: {webhook: {path: /remember, execution: activity}}
  NEEDS: {requires: [product], webhook: {path: /remember}}
  SLOW: {webhook: {path: "/slow?ms=700", progress_after: 100ms, progress_message: {default: "Wait."}}}
  HEADERS: {webhook: {path: /chaos/endless-headers, limits: {trip_after: 1000}}}
`, url)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(content), 0o600))
	return dir
}
