// Package cli holds the commands of the worker and the starter: flags, environment, output. What they do is elsewhere;
// commands take their input, output and environment from an IO, so tests run them without a process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// IO is what a command sees of the world.
type IO struct {
	Args      []string // without the program's name
	In        io.Reader
	Out, Err  io.Writer
	LookupEnv func(string) (string, bool)
}

// OS is the IO of a process.
func OS() IO {
	return IO{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv}
}

// errSilent ends a command with status 1 after it has said everything itself.
var errSilent = errors.New("failed")

type ioKey struct{}

// Run runs a command until it ends or SIGINT or SIGTERM asks it to, and returns the exit status. A second signal ends the
// process at once.
func Run(cmd *cobra.Command, io IO) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return RunContext(ctx, cmd, io)
}

// RunContext runs a command until it ends or ctx does, and returns the exit status.
func RunContext(ctx context.Context, cmd *cobra.Command, io IO) int {
	cmd.SetArgs(io.Args)
	cmd.SetIn(io.In)
	cmd.SetOut(io.Out)
	cmd.SetErr(io.Err)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(WithIO(ctx, io))
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSilent):
		fmt.Fprintf(io.Err, "%s: %v\n", cmd.Name(), err)
	}
	return 1
}

// WithIO gives a command that is part of another program's tree its IO.
func WithIO(ctx context.Context, io IO) context.Context { return context.WithValue(ctx, ioKey{}, io) }

func ioOf(cmd *cobra.Command) IO {
	io, _ := cmd.Context().Value(ioKey{}).(IO)
	return io
}
