// Package sandbox runs a bot builder's Python where it can do no harm (contract, section 4.6). It is the only package
// that runs programs of strangers.
//
// Scripts come from tenants, so they are hostile until shown otherwise. What holds them is the operating system's:
// namespaces made by bubblewrap and then once more for each interpreter, a user of its own, a read-only system, no
// network but a socket on which this process is the proxy, no capabilities, Landlock, a seccomp filter, resource
// limits. An interpreter is started ahead, runs one script, and is gone. There is no running without: New says what is
// missing.
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

// Limits of one run. What a script returns and logs, and how long it may be, are part of the contract.
const (
	ScriptMax = 128 << 10 // bytes of a script
	JobMax    = 5 << 18   // bytes of a script and its event together: 1 MiB of body beside the longest script, and some room
	ResultMax = 256 << 10 // bytes of what main returns, as JSON
	LogMax    = 64 << 10  // bytes of what a script writes that are kept

	cpuSeconds   = 6
	memoryBytes  = 512 << 20
	stackBytes   = 4 << 20 // of a thread
	tmpBytes     = 16 << 20
	fileBytes    = 8 << 20
	filesOpen    = 64
	threads      = 16               // beside the main one
	startTimeout = 20 * time.Second // of a zygote, modules included
	cellTimeout  = 5 * time.Second  // until a cell is ready
	zygoteRuns   = 1000             // cells of one zygote: they share its address layout
	zygoteMaxAge = 10 * time.Minute
)

// ErrUnavailable is what New's errors are when this machine cannot hold scripts.
var ErrUnavailable = errors.New("code steps cannot run")

// Options say how interpreters are run. The zero value is for a worker that runs as root on Debian.
type Options struct {
	// Warm is how many interpreters wait for a job; 4 when 0. It is not how many may run at a time.
	Warm int
	// Concurrency is how many scripts may run at a time; 16 when 0. One tenant may have half of them.
	Concurrency int
	// Users is the range of host user ids (and group ids) of which every interpreter has one for itself. Zero:
	// DefaultUsers.
	Users Users
	// Cgroup is a cgroup v2 directory that the host has delegated to this process, in which every interpreter gets a group
	// with bounds on memory, processes and processor time. "": the process's own, where that is possible; "off": none; "v1": cgroup v1.
	Cgroup string
	// Bubblewrap and Python are the programs; "" = found on the path, and /usr/bin/python3.
	Bubblewrap, Python string
	// Dial is the guarded way out. Nil: scripts reach nothing.
	Dial Dial
	// CheckURL judges a request that is not encrypted, as for webhooks. Nil: every such request is refused.
	CheckURL func(raw string) error
	Log      *slog.Logger

	without []string // layers that a test takes away: setsid, landlock, seccomp
}

// Dial connects to host:port when policy allows. *egress.Client has it.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

func (o Options) withDefaults() Options {
	if o.Warm <= 0 {
		o.Warm = 4
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	if o.Python == "" {
		o.Python = "/usr/bin/python3"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Job is one script with what it is told.
type Job struct {
	schemas.BotID // for the audit of connections

	Step    string // the context's function_name
	EventID string // the context's aws_request_id
	Script  string
	Body    string        // event["body"]; bytes that are no UTF-8 arrive in base64, as event["isBase64Encoded"] says
	Timeout time.Duration // wall time

	// What only scripts of channels have.
	Event     json.RawMessage   // further members of event; a JSON object
	Params    []json.RawMessage // startparam(1) and so on; nil: there is no such function
	BodyParam int               // the place among Params that the body has, from 1; 0 = none

	// Host answers what the script asks of hookturn itself, through the module hookturn. Nil: it cannot ask.
	Host http.Handler
}

// Result is how a script ended. Log is what it wrote, for the bot's builder, whatever the end was.
type Result struct {
	Value []byte // what main returned, as JSON
	Log   string
	CPU   time.Duration
	// Sent says that an interpreter had the job: what the script did to the world outside may have happened.
	Sent bool
}

// Sandbox keeps interpreters ready. It is safe for concurrent use.
type Sandbox struct {
	options Options
	slots   *slots
	places  *places
	warm    chan *cell
	stop    context.CancelFunc
	filled  sync.WaitGroup
	ending  sync.WaitGroup // cells that have run

	mu     sync.Mutex // of the zygote, while it makes a cell as well
	zygote *zygote
}

// New starts interpreters and probes that they are held: an error names the layer that this machine lacks and how to
// get it.
func New(ctx context.Context, o Options) (*Sandbox, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := s.probe(ctx); err != nil {
		s.dropZygote()
		s.places.close()
		return nil, err
	}
	s.start()
	return s, nil
}

// prepare makes a sandbox that has not started anything.
func prepare(o Options) (*Sandbox, error) {
	o = o.withDefaults()
	if err := o.find(); err != nil {
		return nil, err
	}
	// As many as can wait, run and end at a time, and some to spare for those that end slowly.
	at, err := newPlaces(o, 2*(o.Concurrency+o.Warm)+4)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return &Sandbox{options: o, slots: newSlots(o.Concurrency), places: at, warm: make(chan *cell, o.Warm)}, nil
}

// start begins to keep interpreters ready.
func (s *Sandbox) start() {
	filling, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.filled.Go(func() { s.fill(filling) })
}

// Run runs a script once. A fault says in the contract's words how it ended badly; Result is told as far as it is
// known. sandbox_unavailable means that the script did not begin.
func (s *Sandbox) Run(ctx context.Context, j Job) (Result, *fault.Fault) {
	if f := j.check(); f != nil {
		return Result{}, f
	}
	leave, f := s.slots.enter(ctx, j.Tenant)
	if f != nil {
		return Result{}, f
	}
	for tries := 1; ; tries++ {
		c, err := s.take(ctx, s.slots.alone(j.Tenant))
		if err != nil {
			leave()
			s.options.Log.Error("no sandbox could be had", "tenant", j.Tenant, "bot", j.Bot, "step", j.Step, "error", err)
			return Result{}, fault.Wrap(fault.SandboxUnavailable, err, "no sandbox could be had: see the worker's log")
		}
		r, f := c.run(ctx, j, s.options)
		if r.Sent || tries == takeMax { // an interpreter that died while it waited is no reason to give up
			// The kernel takes 3 ms to end a network namespace; nobody has to wait for that but the next one in this place.
			s.ending.Go(func() { c.close(); leave() })
			return r, f
		}
		c.close()
	}
}

// takeMax is how many interpreters are tried for a job that none of them took.
const takeMax = 3

func (j Job) check() *fault.Fault {
	switch {
	case len(j.Script) > ScriptMax:
		return fault.New(fault.ScriptSyntax, "the script has %d bytes: at most %d are possible", len(j.Script), ScriptMax)
	case len(j.Script)+len(j.Body)+len(j.Event) > JobMax:
		return fault.New(fault.TooLarge, "script and event have more than %d bytes", JobMax)
	}
	return nil
}
