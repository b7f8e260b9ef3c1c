// Package sandbox runs a bot builder's Python where it can do no harm (contract, section 4.6). It is the only package that
// runs programs of strangers.
//
// Scripts come from tenants, so they are hostile until shown otherwise. What holds them is the operating system's:
// namespaces made by bubblewrap and then once more for each interpreter, a user of its own, a read-only system, no network
// but a socket on which this process is the proxy, no capabilities, Landlock, a seccomp filter, resource limits. An
// interpreter is started ahead, runs one script, and is gone. There is no running without: New says what is missing.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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

	cpuSeconds    = 6
	memoryBytes   = 512 << 20
	tmpBytes      = 16 << 20
	fileBytes     = 8 << 20
	filesOpen     = 64
	threads       = 16
	startTimeout  = 20 * time.Second // of a zygote, modules included
	cellTimeout   = 5 * time.Second  // until a cell is ready
	zygoteRuns    = 1000             // cells of one zygote: they share its address layout
	zygoteMaxAge  = 10 * time.Minute
	sandboxUserID = 65533 // when the options name none
)

// ErrUnavailable is what New's errors are when this machine cannot hold scripts.
var ErrUnavailable = errors.New("code steps cannot run")

// Options say how interpreters are run. The zero value is for a worker that runs as root on Debian.
type Options struct {
	// Warm is how many interpreters wait for a job; 4 when 0. It is not how many may run at a time.
	Warm int
	// Concurrency is how many scripts may run at a time; 16 when 0. One tenant may have half of them.
	Concurrency int
	// UserID is the user and group that scripts run as, not this process's own; 65533 when 0.
	UserID int
	// Bubblewrap and Python are the programs; "" = found on the path, and /usr/bin/python3.
	Bubblewrap, Python string
	// Dial is the guarded way out. Nil: scripts reach nothing.
	Dial Dial
	// CheckURL judges a request that is not encrypted, as for webhooks. Nil: every such request is refused.
	CheckURL func(raw string) error
	Log      *slog.Logger
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
	if o.UserID == 0 {
		o.UserID = sandboxUserID
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
	slots   chan struct{}
	warm    chan *cell
	stop    context.CancelFunc
	filled  sync.WaitGroup
	ending  sync.WaitGroup // cells that have run

	mu      sync.Mutex
	zygote  *zygote
	tenants map[string]*tenantShare
}

// New starts interpreters and probes that they are held: an error says what this machine lacks and how to get it.
func New(ctx context.Context, o Options) (*Sandbox, error) {
	o = o.withDefaults()
	if err := o.find(); err != nil {
		return nil, err
	}
	s := &Sandbox{options: o, slots: make(chan struct{}, o.Concurrency), warm: make(chan *cell, o.Warm),
		tenants: map[string]*tenantShare{}}
	if err := s.probe(ctx); err != nil {
		s.dropZygote()
		return nil, err
	}
	filling, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.filled.Go(func() { s.fill(filling) })
	return s, nil
}

// find resolves the programs and says everything that is missing.
func (o *Options) find() error {
	var problems []error
	if o.Bubblewrap == "" {
		o.Bubblewrap = "bwrap"
	}
	path, err := exec.LookPath(o.Bubblewrap)
	if err != nil {
		problems = append(problems, errors.New("bubblewrap is not installed: apt-get install bubblewrap"))
	}
	o.Bubblewrap = path
	if o.Python, err = filepath.EvalSymlinks(o.Python); err != nil {
		problems = append(problems, errors.New("the program python3 is not installed: apt-get install python3 python3-requests"))
	}
	switch own := os.Getuid(); {
	case own == o.UserID:
		problems = append(problems, fmt.Errorf("scripts would run as this process's own user %d: choose another", own))
	case own != 0:
		problems = append(problems, fmt.Errorf("this process runs as user %d and cannot start scripts as user %d: "+
			"run workers for code steps as root, in a container of their own", own, o.UserID))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(problems...))
	}
	return nil
}

// Run runs a script once. A fault says in the contract's words how it ended badly; Result is told as far as it is known.
// sandbox_unavailable means that the script did not begin.
func (s *Sandbox) Run(ctx context.Context, j Job) (Result, *fault.Fault) {
	if f := j.check(); f != nil {
		return Result{}, f
	}
	leave, f := s.enter(ctx, j.Tenant)
	if f != nil {
		return Result{}, f
	}
	for tries := 1; ; tries++ {
		c, err := s.take(ctx)
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

// enterTimeout is how long a job waits for its turn.
const enterTimeout = 10 * time.Second

// enter waits for a slot of the tenant's share and of all.
func (s *Sandbox) enter(ctx context.Context, tenant string) (leave func(), f *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	share, done := s.share(tenant)
	select {
	case share <- struct{}{}:
	case <-ctx.Done():
		done()
		return nil, fault.New(fault.SandboxUnavailable, "%d scripts of the tenant run already", cap(share))
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; <-share; done() }, nil
	case <-ctx.Done():
		<-share
		done()
		return nil, fault.New(fault.SandboxUnavailable, "all %d sandboxes are busy", s.options.Concurrency)
	}
}

// tenantShare is the slots of one tenant, and who uses or awaits one.
type tenantShare struct {
	slots chan struct{}
	users int
}

// share finds a tenant's slots; done gives them back to be forgotten.
func (s *Sandbox) share(tenant string) (slots chan struct{}, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tenants[tenant]
	if !known {
		t = &tenantShare{slots: make(chan struct{}, max(1, s.options.Concurrency/2))}
		s.tenants[tenant] = t
	}
	t.users++
	return t.slots, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.tenants, tenant)
		}
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

// take gives a cell that waits for a job: a warm one, or a fresh one when none is warm.
func (s *Sandbox) take(ctx context.Context) (*cell, error) {
	for {
		select {
		case c := <-s.warm:
			if c.alive() {
				return c, nil
			}
			c.close()
			continue
		default:
		}
		return s.spawn(ctx)
	}
}

// refillPause lets the run that has just taken an interpreter have the cores first, while there are others that wait.
const refillPause = 10 * time.Millisecond

// fill keeps warm cells ready until ctx ends, waiting longer after every failure in a row.
func (s *Sandbox) fill(ctx context.Context) {
	for failures := 0; ; {
		c, err := s.spawn(ctx)
		wait := time.Duration(0)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			wait = min(time.Duration(failures)*200*time.Millisecond, 5*time.Second)
			s.options.Log.Warn("an interpreter cannot be started ahead, trying again", "error", err, "wait", wait)
			s.dropZygote()
		} else {
			failures = 0
			select {
			case s.warm <- c:
				if len(s.warm) > cap(s.warm)/2 {
					wait = refillPause
				}
			case <-ctx.Done():
				c.close()
				return
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// spawn asks the zygote for a cell, starting another zygote when there is none or it is worn out.
func (s *Sandbox) spawn(ctx context.Context) (*cell, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zygote != nil && s.zygote.worn() {
		s.zygote.retire()
		s.zygote = nil
	}
	if s.zygote == nil {
		z, err := startZygote(ctx, s.options)
		if err != nil {
			return nil, err
		}
		s.zygote = z
	}
	c, err := s.zygote.spawn(ctx)
	if err != nil {
		s.zygote.retire()
		s.zygote = nil
	}
	return c, err
}

func (s *Sandbox) dropZygote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zygote != nil {
		s.zygote.retire()
		s.zygote = nil
	}
}

// Close ends every interpreter, running ones too.
func (s *Sandbox) Close() {
	s.stop()
	s.filled.Wait()
	s.ending.Wait()
	for {
		select {
		case c := <-s.warm:
			c.close()
			continue
		default:
		}
		break
	}
	s.dropZygote()
}
