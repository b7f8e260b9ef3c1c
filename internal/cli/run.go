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
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/telemetry"
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

// gcPercent is how much the heap may grow between two collections, unless GOGC says otherwise.
const gcPercent = 300

type ioKey struct{}

// Run runs a command until it ends or SIGINT or SIGTERM asks it to, and returns the exit status. A second signal ends the
// process at once.
func Run(cmd *cobra.Command, world IO) int {
	telemetry.CaptureLibraries()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if _, ok := os.LookupEnv("GOGC"); !ok {
		// Heaps are small and short-lived here: collecting a third as often saves a tenth of the CPU (docs/benchmarks).
		debug.SetGCPercent(gcPercent)
	}
	return RunContext(ctx, cmd, world)
}

// RunContext runs a command until it ends or ctx does, and returns the exit status.
func RunContext(ctx context.Context, cmd *cobra.Command, world IO) int {
	cmd.SetArgs(world.Args)
	cmd.SetIn(world.In)
	cmd.SetOut(world.Out)
	cmd.SetErr(world.Err)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(WithIO(ctx, world))
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSilent):
		fmt.Fprintf(world.Err, "%s: %v\n", cmd.Name(), err)
	}
	return 1
}

// WithIO gives a command that is part of another program's tree its IO.
func WithIO(ctx context.Context, world IO) context.Context {
	return context.WithValue(ctx, ioKey{}, world)
}

func ioOf(cmd *cobra.Command) IO {
	world, _ := cmd.Context().Value(ioKey{}).(IO)
	return world
}
