package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// rig is the running system under test.
type rig struct {
	dir       string
	processes map[string]*process
	sink      *sink
	dead      net.Listener
	nc        *nats.Conn
	js        jetstream.JetStream
	temporal  client.Client
	load      *load

	opened   []time.Duration // latencies of the first steps of conversations
	logs     io.Writer
	profiles string   // directory for CPU profiles; "" = none
	env      []string // how worker and starter reach the servers
	program  string   // the devstack that its processes run
	programs string   // directory of the worker and the starter that run instead, "" = those of program
	postgres string   // URL of Temporal's database, "" = SQLite

	with        []string // more environment of worker and starter
	postgresPID int      // of the database that the benchmark started, 0: another one
}

// botFile is the benchmark's bot file: one step whose first attempt is a local activity, one whose attempts are all normal,
// one whose endpoint is dead, and one that closes the conversation.
const botFile = `bot: bench
dialect: haptik
base_urls: {test: "http://%[1]s", production: "http://%[1]s"}
secrets: {key: {file: key}}
bot_break: {default: "sorry"}
steps:
  %[2]s: {webhook: {path: /bench, secret: key}}
  %[3]s: {webhook: {path: /bench, secret: key, execution: activity}}
  %[4]s: {webhook: {url: "http://%[5]s/", secret: key, attempt_timeout: 1s, retry: {max_attempts: 1}}}
  %[6]s: {end_step: true, webhook: {path: /bench, secret: key}}
`

const (
	stepLocal    = "local"
	stepActivity = "activity"
	stepDead     = "dead" // its endpoint never answers
	stepLast     = "last" // closes the conversation
)

const startTimeout = 60 * time.Second

// newRig starts servers, worker and starter of a devstack program.
func newRig(ctx context.Context, logs io.Writer, s settings, program string) (_ *rig, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r := &rig{
		processes: map[string]*process{}, logs: logs, profiles: s.profile, program: program, postgres: s.postgres,
		postgresPID: s.postgresPID, with: s.with, programs: s.programs,
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "hookturn-bench-"); err != nil {
		return nil, err
	}
	if r.sink, err = startSink(); err != nil {
		return nil, err
	}
	if r.dead, err = deadEndpoint(); err != nil {
		return nil, err
	}
	if err := r.writeBot(); err != nil {
		return nil, err
	}
	where, err := r.startProcesses(ctx)
	if err != nil {
		return nil, err
	}
	if r.nc, r.js, err = bus.Connect(ctx, natsclient.Login{URL: "nats://" + where["nats"]}, "bench", nil); err != nil {
		return nil, err
	}
	r.temporal, err = client.DialContext(ctx, client.Options{
		HostPort: where["temporal"], Logger: quiet(),
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}}, // as hookturn has it
	})
	if err != nil {
		return nil, err
	}
	if r.load, err = newLoad(r.nc, r.js); err == nil {
		r.load.arrived = r.sink.arrived
	}
	return r, err
}

func (r *rig) writeBot() error {
	dir := filepath.Join(r.dir, "bots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("benchmark"), 0o600); err != nil {
		return err
	}
	text := fmt.Appendf(nil, botFile, r.sink.addr(), stepLocal, stepActivity, stepDead, r.dead.Addr(), stepLast)
	if err := os.WriteFile(filepath.Join(dir, "bench.yaml"), text, 0o600); err != nil {
		return err
	}
	return r.writeBusyBot()
}

// startProcesses starts servers, worker and starter and returns where the servers listen.
func (r *rig) startProcesses(ctx context.Context) (map[string]string, error) {
	var err error
	args := []string{
		r.profile(server), "--engine=false", "--webhook-addr=", "--data-dir", filepath.Join(r.dir, "state"),
		"--nats-addr=127.0.0.1:0", "--temporal-addr=127.0.0.1:0", "--ui-addr=127.0.0.1:0",
	}
	if r.postgres != "" {
		args = append(args, "--temporal-postgres="+r.postgres)
	}
	r.processes[server], err = r.spawn(nil, args...)
	if err != nil {
		return nil, err
	}
	line, err := r.processes[server].firstLine(ctx)
	if err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	where := map[string]string{}
	for word := range strings.FieldsSeq(line) {
		name, addr, _ := strings.Cut(word, "=")
		where[name] = addr
	}
	r.env = []string{
		"HOOKTURN_NATS_URL=nats://" + where["nats"], "HOOKTURN_BOTS=" + filepath.Join(r.dir, "bots"), "HOOKTURN_FREE_SECRETS=true",
		"HOOKTURN_LOG_LEVEL=error", "HOOKTURN_EGRESS_ALLOW=127.0.0.1", "TEMPORAL_ADDRESS=" + where["temporal"],
	}
	r.env = append(r.env, r.with...)
	if r.processes[worker], err = r.spawnWorker(); err != nil {
		return nil, err
	}
	r.processes[starter], err = r.spawnProgram(starter)
	return where, err
}

func (r *rig) spawnWorker() (*process, error) { return r.spawnProgram(worker) }

// spawnProgram starts a worker or a starter with more environment. The first of each name writes the profile.
func (r *rig) spawnProgram(name string, env ...string) (*process, error) {
	env = append(slices.Clone(r.env), env...)
	if r.programs != "" {
		return spawn(filepath.Join(r.programs, name), r.logs, env)
	}
	args := []string{name}
	if r.processes[name] == nil {
		args = append(args, r.profile(name))
	}
	return r.spawn(env, args...)
}

// build returns what --before names: a devstack, or a directory whose worker and starter run beside the servers of this one.
func build(self, before string) (program, programs string, err error) {
	info, err := os.Stat(before)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return self, before, nil
	}
	return before, "", nil
}

func (r *rig) spawn(env []string, args ...string) (*process, error) {
	return spawn(r.program, r.logs, env, args...)
}

// profile is the flag by which a process writes a CPU profile, if one is wanted.
func (r *rig) profile(name string) string {
	if r.profiles == "" {
		return "--cpu-profile="
	}
	return "--cpu-profile=" + filepath.Join(r.profiles, name+".pprof")
}

// cpu is what the processes have used so far.
func (r *rig) cpu() (usage, error) {
	self, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	u := usage{engine: self}
	for name, p := range r.processes {
		used, err := cpuTime(p.cmd.Process.Pid)
		if err != nil {
			return nil, fmt.Errorf("CPU time of %s: %w", name, err)
		}
		u[name] = used
	}
	if r.postgresPID != 0 {
		if u[database], err = familyCPUTime(r.postgresPID); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// measured runs work and adds what the processes used meanwhile.
func (r *rig) measured(work func() measurement) (measurement, error) {
	before, err := r.cpu()
	if err != nil {
		return measurement{}, err
	}
	m := work()
	if m.cpu, err = r.cpu(); err != nil {
		return m, err
	}
	m.cpu.subtract(before)
	return m, nil
}

// measure runs one row: every conversation is opened with a step that does not count, then the load runs.
func (r *rig) measure(ctx context.Context, w row, d time.Duration) (measurement, error) {
	r.sink.delay.Store(int64(w.delay))
	prefix := fmt.Sprintf("%s-%d-%d-%d", w.step, w.inFlight, w.conversations, w.delay.Milliseconds())
	opened, err := r.load.open(ctx, prefix, w)
	if err != nil {
		return measurement{}, fmt.Errorf("opening the conversations: %w", err)
	}
	r.opened = append(r.opened, opened.latencies...)
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	return r.steady(ctx, w.inFlight, d, r.load.turns(ctx, prefix, w))
}

// settle waits until the server has done what the load before left behind, such as visibility records: it must use less
// than a twentieth of a core for half a second. It waits for a minute at the most.
func (r *rig) settle(ctx context.Context) error {
	const look, calm = 500 * time.Millisecond, 25 * time.Millisecond
	for range 120 {
		before, err := r.cpu()
		if err != nil {
			return err
		}
		if err := wait(ctx, look); err != nil {
			return err
		}
		after, err := r.cpu()
		if err != nil || after[server]-before[server] <= calm {
			return err
		}
	}
	return nil
}

func (r *rig) close() {
	if r.temporal != nil {
		r.temporal.Close()
	}
	if r.nc != nil {
		r.nc.Close()
	}
	for _, name := range []string{starter, worker, server} {
		if p := r.processes[name]; p != nil {
			p.stop()
		}
	}
	if r.sink != nil {
		r.sink.stop()
	}
	if r.dead != nil {
		_ = r.dead.Close()
	}
	_ = os.RemoveAll(r.dir)
}

func quiet() log.Logger { return silent{} }

type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
