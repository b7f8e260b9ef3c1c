package jq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const (
	// runTimeout bounds one run of a program; a mapping of a few kilobytes takes well under a millisecond.
	runTimeout = 250 * time.Millisecond
	// startTimeout bounds the start of a process, waitTimeout the wait for a free one.
	startTimeout = 30 * time.Second
	waitTimeout  = 5 * time.Second
)

// Why a run ended without a result. No error holds any part of the input.
var (
	ErrTimeout = fmt.Errorf("the program ran longer than %s", runTimeout)
	ErrMemory  = errors.New("the program needed more than 256 MiB, or broke its process in another way")
	ErrFailed  = errors.New("the program failed on this input")
	ErrNone    = errors.New("the program gave no result: want exactly one")
	ErrSeveral = errors.New("the program gave several results: want exactly one")
	ErrTooLong = errors.New("the program's result is longer than 1 MiB")
	ErrBusy    = errors.New("no process was free to run the program")
)

// Pool runs programs in a few processes, which it starts when they are first needed. It is safe for concurrent use.
type Pool struct{ slots chan *process }

// NewPool makes a pool of so many processes.
func NewPool(processes int) *Pool {
	p := &Pool{slots: make(chan *process, processes)}
	for range processes {
		p.slots <- nil
	}
	return p
}

// Run gives a program's one result for an input, both JSON.
func (p *Pool) Run(program string, input []byte) ([]byte, error) {
	wait := time.NewTimer(waitTimeout)
	defer wait.Stop()
	select {
	case slot := <-p.slots:
		output, slot, err := run(slot, program, input)
		p.slots <- slot
		return output, err
	case <-wait.C:
		return nil, ErrBusy
	}
}

// Close ends the processes. The pool may be used again.
func (p *Pool) Close() {
	for range cap(p.slots) {
		if slot := <-p.slots; slot != nil {
			slot.kill()
		}
		p.slots <- nil
	}
}

// run gives back the process when it can be used again, nil when it was used up.
func run(slot *process, program string, input []byte) ([]byte, *process, error) {
	if slot == nil {
		var err error
		if slot, err = start(); err != nil {
			return nil, nil, fmt.Errorf("start a process for a jq program: %w", err)
		}
	}
	answer, err := slot.ask(request{Program: program, Input: input}, runTimeout)
	switch {
	case err == nil:
		return answer.Output, slot, answer.err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		slot.kill()
		return nil, nil, ErrTimeout
	}
	slot.kill()
	return nil, nil, ErrMemory
}

// process is a copy of this program that runs jq programs, one at a time.
type process struct {
	cmd     *exec.Cmd
	in, out *os.File
}

// start starts a process and waits until it says that it is ready.
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
		p.kill()
		return nil, fmt.Errorf("it did not answer: %w", err)
	}
	return p, nil
}

func (p *process) ask(r request, timeout time.Duration) (answer response, err error) {
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

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.in.Close()
	p.out.Close()
	_ = p.cmd.Wait()
}
