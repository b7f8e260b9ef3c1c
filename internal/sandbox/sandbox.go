// Package sandbox runs the Python scripts of bots in isolation (contract, section 4.6). It is the only package that runs
// code of tenants.
//
// Scripts are treated as hostile. The operating system isolates them: bubblewrap's namespaces and another set for each
// interpreter, a user id for each interpreter, a read-only file system, no network except a socket on which this process
// is the egress proxy, no capabilities, Landlock, a seccomp filter and resource limits. Interpreters are started in advance;
// each runs one script and ends. Scripts never run without these layers: New returns an error that names the missing one.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Limits of one run. The sizes of script, result and log are part of the contract.
const (
	ScriptMax = 128 << 10 // bytes of a script
	// JobMax bounds a script and its event together, and its start parameters, in bytes: 1 MiB of body, the longest script,
	// and a reserve.
	JobMax    = 5 << 18
	ResultMax = 256 << 10 // bytes of the result of main, as JSON
	LogMax    = 64 << 10  // bytes of the script's output that are kept

	cpuSeconds   = 6
	memoryBytes  = 512 << 20
	stackBytes   = 4 << 20 // of a thread
	tmpBytes     = 16 << 20
	fileBytes    = 8 << 20
	filesOpen    = 64
	threads      = 16               // besides the main thread
	enterTimeout = 10 * time.Second // until a slot is free
	startTimeout = 20 * time.Second // of a zygote, modules included
	readyTimeout = 20 * time.Second // until a process is ready: tens of milliseconds on a machine that is not busy
	endedTimeout = 5 * time.Second  // until the zygote reports the end of a process that has closed its answers
	zygoteRuns   = 1000             // processes of one zygote: they share its address layout
	zygoteMaxAge = 10 * time.Minute
)

// ErrUnavailable is wrapped by the errors of New when this machine cannot isolate scripts.
var ErrUnavailable = errors.New("code steps are not available")

// Options configures a Sandbox. The zero value fits a worker that runs as root on Debian.
type Options struct {
	// Warm is the number of interpreters that wait for a job (default 4). It does not limit how many run at a time.
	Warm int
	// Concurrency is the number of scripts that run at a time (default 16). One tenant can use half of them.
	Concurrency int
	// Users is the range of host user ids (and group ids); every interpreter has one of its own. Zero:
	// DefaultUsers.
	Users Users
	// Cgroup is a cgroup v2 directory that the host has delegated to this process, in which every interpreter gets a
	// group with bounds on memory, processes and processor time. "": the process's own, where that is possible; "off":
	// none; "v1": cgroup v1.
	Cgroup string
	// Packages is the directory of the wheels that scripts can have; "" = none. TMPDIR must allow programs (no noexec) for
	// wheels with compiled code.
	Packages string
	// Bubblewrap and Python are the programs; "" = found on the path, and /usr/bin/python3.
	Bubblewrap, Python string
	// Dial connects to external hosts. Nil: scripts cannot connect to any host.
	Dial Dial
	// CheckURL reports whether a plain HTTP request is allowed, as for webhooks. Nil: plain HTTP is denied.
	CheckURL func(raw string) error
	Log      *slog.Logger

	packages string        // directory of unpacked wheels
	without  []string      // layers that a test removes: setsid, landlock, seccomp
	wait     time.Duration // how long a job waits for a slot (default 10 s)
}

// Dial connects to host:port when the egress policy allows it. *egress.Client implements it.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

func (o Options) withDefaults() Options {
	if o.Warm <= 0 {
		o.Warm = 4
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	if o.wait <= 0 {
		o.wait = enterTimeout
	}
	if o.Python == "" {
		o.Python = "/usr/bin/python3"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Job is one script and its input.
type Job struct {
	schemas.BotID // for the audit of connections

	Step    string // the context's function_name
	EventID string // the context's aws_request_id
	TraceID string // of the event, for log lines
	Script  string
	Body    string        // event["body"]; bytes that are not UTF-8 arrive in base64, with event["isBase64Encoded"]
	Timeout time.Duration // wall time
	// Async reports that no caller waits for the script: it gets one of half of the slots only.
	Async bool
	// Slot is one that the job has already; nil: Run waits for one.
	Slot *Slot

	// Packages are the wheels that the script can import.
	Packages []Wheel
	// Connections are the hosts, or host:port, to which the script can connect when the egress policy allows it too. Nil:
	// the egress policy decides alone.
	Connections []string

	// Only for scripts of channels.
	Event     json.RawMessage   // further members of event; a JSON object
	Params    []json.RawMessage // results of startparam(1) and so on; nil: the function is not defined
	BodyParam int               // the position of the body in Params, from 1; 0 = none
	BodyData  bool              // Body is JSON: its value is the parameter at BodyParam, and data of the event's message

	// Host serves the requests of the module hookturn. Nil: the module is not available.
	Host http.Handler
}

// Result is the result of a run. Log is the script's output for the bot's builder, also after a failure.
type Result struct {
	Value []byte // the result of main, as JSON
	Log   string
	// Sent reports whether an interpreter received the job, so that the script may have had effects.
	Sent bool
}

// Sandbox starts interpreters in advance and runs scripts in them. It is safe for concurrent use.
type Sandbox struct {
	options Options
	slots   *slots
	async   *slots // a part of slots for jobs with Async
	places  *places
	library *library
	warm    chan *process
	stop    context.CancelFunc
	filled  sync.WaitGroup
	ending  sync.WaitGroup // processes that ran a script

	mu     sync.Mutex // guards zygote, also while it starts a process
	zygote *zygote
}

// New starts interpreters and probes that they are held: an error names the layer that this machine lacks and how to get it.
func New(ctx context.Context, o Options) (*Sandbox, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := s.probe(ctx); err != nil {
		s.dropZygote()
		s.places.close()
		s.library.close()
		return nil, err
	}
	s.start()
	return s, nil
}

// prepare returns a new sandbox without a running process.
func prepare(o Options) (*Sandbox, error) {
	o = o.withDefaults()
	if err := o.find(); err != nil {
		return nil, err
	}
	// Places for all processes that wait, run and end at a time, and a reserve for processes that end slowly.
	at, err := newPlaces(o, 2*(o.Concurrency+o.Warm)+4)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	library, err := newLibrary(o.Packages)
	if err != nil {
		at.close()
		return nil, err
	}
	o.packages = library.root
	return &Sandbox{
		options: o, slots: newSlots(o.Concurrency, o.wait), async: newSlots(max(1, o.Concurrency/2), o.wait),
		places: at, library: library, warm: make(chan *process, o.Warm),
	}, nil
}

// Used returns the share of the sandbox's slots that is in use, or of those for jobs with Async if that is more; scripts
// that wait for one count. At 1 every slot is used.
func (s *Sandbox) Used() float64 { return max(s.slots.used(), s.async.used()) }

// Free reports whether a job would run at once.
func (s *Sandbox) Free(j Job) bool {
	return s.slots.free(j.Tenant) && (!j.Async || s.async.free(j.Tenant))
}

// enter takes the slot that a job has, or waits for one, for the time of the options in all. Of its tenant's slots,
// jobs with Async leave half to those whose callers wait: a flood of them may last for hours.
func (s *Sandbox) enter(ctx context.Context, j Job) (leave func(), f *fault.Fault) {
	if leave := j.Slot.take(); leave != nil {
		return leave, nil
	}
	if !j.Async {
		return s.slots.enter(ctx, j.Tenant)
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.wait)
	defer cancel()
	leaveAsync, f := s.async.enter(ctx, j.Tenant)
	if f != nil {
		return nil, f
	}
	leaveSlot, f := s.slots.enter(ctx, j.Tenant)
	if f != nil {
		leaveAsync()
		return nil, f
	}
	return func() { leaveSlot(); leaveAsync() }, nil
}

// start begins to start interpreters in advance.
func (s *Sandbox) start() {
	filling, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.filled.Go(func() { s.fill(filling) })
}

// Run runs a script once. A fault has one of the contract's error codes; the result is as complete as possible then.
// sandbox_unavailable means that the script did not start.
func (s *Sandbox) Run(ctx context.Context, j Job) (Result, *fault.Fault) {
	if f := j.check(); f != nil {
		return Result{}, f
	}
	leave, f := s.enter(ctx, j)
	if f != nil {
		return Result{}, f
	}
	set, release, f := s.library.get(ctx, j.Tenant, j.Packages)
	if f != nil {
		leave()
		return Result{}, f
	}
	for tries := 1; ; tries++ {
		c, err := s.take(ctx, s.slots.alone(j.Tenant), set)
		if err != nil {
			release()
			leave()
			s.options.Log.ErrorContext(ctx, "sandbox start failed", "tenant", j.Tenant, "bot", j.Bot, "step", j.Step, "error", err)
			return Result{}, fault.Wrap(fault.SandboxUnavailable, err, "the sandbox did not start: see the worker's log")
		}
		r, f := c.run(ctx, j, s.options)
		if r.Sent || tries == takeMax { // an interpreter that ended while it waited did not run the script: try another
			// The kernel takes 3 ms to end a network namespace. Only the next process in this place waits for that.
			s.ending.Go(func() { c.close(); release(); leave() })
			return r, f
		}
		c.close()
	}
}

// takeMax is the number of interpreters that are tried for a job.
const takeMax = 3

func (j Job) check() *fault.Fault {
	switch {
	case len(j.Script) > ScriptMax:
		return fault.New(fault.ScriptSyntax, "the script has %d bytes, at most %d are allowed", len(j.Script), ScriptMax)
	case len(j.Script)+len(j.Body)+len(j.Event) > JobMax:
		return fault.New(fault.TooLarge, "the script and its event have more than %d bytes together", JobMax)
	case paramsBytes(j.Params) > JobMax:
		return fault.New(fault.TooLarge, "the start parameters of the script have more than %d bytes together", JobMax)
	}
	return nil
}

// paramsBytes returns the bytes of start parameters. They have a limit of their own, because they repeat parts of the event.
func paramsBytes(params []json.RawMessage) int {
	n := 0
	for _, p := range params {
		n += len(p)
	}
	return n
}
