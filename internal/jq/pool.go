package jq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	// runTimeout bounds one run of a program, in time of the processor; a mapping of a few kilobytes takes well under a
	// millisecond.
	runTimeout = 250 * time.Millisecond
	// startTimeout bounds the start of a process.
	startTimeout = 30 * time.Second
	// patience is the default of Pool.Wait and Pool.Longest.
	patience = 5 * time.Second
)

// Errors of runs without a result. No error contains a part of the input.
var (
	ErrTimeout = fmt.Errorf("the program ran longer than %s", runTimeout)
	ErrMemory  = errors.New("the program needed more than 256 MiB of memory, or ended its process in another way")
	ErrFailed  = errors.New("the program failed on this input")
	ErrNone    = errors.New("the program gave no result: want exactly one")
	ErrSeveral = errors.New("the program gave several results: want exactly one")
	ErrTooLong = errors.New("the program's result is longer than 1 MiB")
	ErrBusy    = error(busyError{})
	ErrDenied  = errors.New("the program took too much time or memory too often and is not run for now")
)

// busyError reports that the program was not started, or not completed. It is not the program's fault.
type busyError struct{ cause error } // nil: nothing was free

func (e busyError) Error() string {
	if e.cause != nil {
		return "no process could be started to run the program"
	}
	return "no process or processor was free to run the program, or the tenant's share was in use"
}

func (e busyError) Unwrap() error { return e.cause }

// Is makes every busyError one of ErrBusy.
func (busyError) Is(target error) bool { return target == ErrBusy }

// Busy reports whether a later run can succeed.
func (busyError) Busy() bool { return true }

// resultOf returns the result label of a run for metrics.
func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrTimeout):
		return "timeout"
	case errors.Is(err, ErrMemory):
		return "memory"
	case errors.Is(err, ErrBusy):
		return "busy"
	case errors.Is(err, ErrDenied):
		return "denied"
	}
	return "failed"
}

// Pool runs programs in a fixed number of processes, which it starts on first use. One tenant gets half of them at most, and
// a program that exceeds its limits repeatedly is denied for a while. It is safe for concurrent use.
type Pool struct {
	// Observe receives the result of every run: ok, failed, timeout, memory, busy or denied. It may be nil.
	Observe func(tenant, result string)
	// Wait bounds the wait for a free process, Longest the time that passes during a run on a machine that does not get to it;
	// 5 s each when 0. A run that exceeds one of them ends with ErrBusy.
	Wait, Longest time.Duration

	begin    func() (*process, error) // starts a process
	slots    chan *process
	shares   *shares
	denials  *denials
	replaced sync.WaitGroup
}

// NewPool returns a new pool with a number of processes.
func NewPool(processes int) *Pool {
	p := &Pool{begin: start, slots: make(chan *process, processes), shares: newShares(processes), denials: newDenials()}
	for range processes {
		p.slots <- nil
	}
	return p
}

// Run runs a tenant's program and returns its single result. Input and result are JSON.
func (p *Pool) Run(tenant, program string, input []byte) ([]byte, error) {
	output, err := p.run(tenant, program, input)
	if p.Observe != nil {
		p.Observe(tenant, resultOf(err))
	}
	return output, err
}

func (p *Pool) run(tenant, program string, input []byte) (_ []byte, err error) {
	key := keyOf(tenant, program)
	if err := p.denials.check(key, time.Now()); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(context.Background(), cmp.Or(p.Wait, patience))
	defer cancel()
	release, ok := p.shares.acquire(wait, tenant)
	if !ok {
		return nil, ErrBusy
	}
	select {
	case slot := <-p.slots:
		if slot == nil {
			if slot, err = p.begin(); err != nil {
				p.slots <- nil // the next run tries again
				release()
				return nil, busyError{cause: err}
			}
		}
		output, slot, err := run(slot, program, input, cmp.Or(p.Longest, patience))
		p.denials.note(key, err, time.Now())
		p.giveBack(slot, release)
		return output, err
	case <-wait.Done():
		release()
		return nil, ErrBusy
	}
}

// giveBack puts a process back into the pool. When the process has ended, giveBack starts another one first and keeps the
// slot of the tenant meanwhile, so that other tenants do not wait for the start.
func (p *Pool) giveBack(slot *process, release func()) {
	if slot != nil {
		p.slots <- slot
		release()
		return
	}
	p.replaced.Go(func() {
		fresh, err := p.begin()
		if err != nil {
			fresh = nil // the next run tries again, and reports why
		}
		p.slots <- fresh
		release()
	})
}

// Close ends the processes. The pool can be used again.
func (p *Pool) Close() {
	p.replaced.Wait()
	for range cap(p.slots) {
		if slot := <-p.slots; slot != nil {
			_ = slot.kill()
		}
		p.slots <- nil
	}
}

// run returns the process, or nil when it has ended.
func run(slot *process, program string, input []byte, longest time.Duration) ([]byte, *process, error) {
	answer, err := slot.ask(request{Program: program, Input: input}, longest)
	if err == nil {
		return answer.Output, slot, answer.err()
	}
	status := slot.kill()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, ErrBusy // the processor was not free for it
	case status == exitSlow:
		return nil, nil, ErrTimeout
	}
	return nil, nil, ErrMemory
}

// process is a copy of this program that runs jq programs, one at a time.
type process struct {
	cmd     *exec.Cmd
	in, out *os.File
}

// start starts a process and waits until it is ready.
func start() (_ *process, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer childIn.Close()
	out, childOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer childOut.Close()
	cmd := exec.CommandContext(context.Background(), self) //nolint:gosec // it is this very program
	cmd.Env = []string{childVariable + "=1", "GOTRACEBACK=none"}
	cmd.Stdin, cmd.Stdout = childIn, childOut
	p := &process{cmd: cmd, in: in, out: out}
	if err := cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	if _, err := p.ask(request{Program: "."}, startTimeout); err != nil {
		_ = p.kill()
		return nil, fmt.Errorf("no answer from the process: %w", err)
	}
	return p, nil
}

func (p *process) ask(r request, timeout time.Duration) (answer response, err error) {
	r.Longest = timeout
	if err := p.out.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return answer, err
	}
	if err := p.in.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return answer, err
	}
	if err := writeFrame(p.in, r); err != nil {
		return answer, err
	}
	return answer, readFrame(p.out, &answer)
}

// kill ends the process and returns the status with which it has ended before, -1 if it had not.
func (p *process) kill() (status int) {
	_ = p.cmd.Process.Kill()
	p.in.Close()
	p.out.Close()
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}
