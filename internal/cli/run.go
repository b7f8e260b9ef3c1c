// Package cli contains the commands of the worker and the starter: flags, environment, output. Other packages do the work.
// Commands get their input, output and environment from an IO, so that tests run them without a process.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/visible"
)

// IO is the input, output and environment of a command.
type IO struct {
	Args      []string // without the program's name
	In        io.Reader
	Out, Err  io.Writer
	LookupEnv func(string) (string, bool)
	Terminal  bool // In is a terminal, at which a command may ask
}

// OS is the IO of a process.
func OS() IO {
	return IO{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv,
		Terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

// gcPercent is the value of GOGC when the environment does not set it.
const gcPercent = 300

type ioKey struct{}

// Run runs a command until it ends or the process receives SIGINT or SIGTERM, and returns the exit status. A second
// signal ends the process immediately.
func Run(cmd *cobra.Command, world IO) int {
	telemetry.CaptureLibraries()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if _, ok := os.LookupEnv("GOGC"); !ok {
		// Heaps are small and short-lived: a third of the collections saves a tenth of the CPU (docs/benchmarks).
		debug.SetGCPercent(gcPercent)
	}
	return RunContext(ctx, cmd, world)
}

// RunContext runs a command until it ends or ctx does, and returns the exit status. Control and format characters in what it
// prints, which may be text of users and endpoints, are written as \u00xx.
func RunContext(ctx context.Context, cmd *cobra.Command, world IO) int {
	out, failures := visible.NewWriter(world.Out), visible.NewWriter(world.Err)
	defer func() { _ = errors.Join(out.Flush(), failures.Flush()) }() // what is kept is not text
	world.Out, world.Err = out, failures
	cmd.SetArgs(world.Args)
	cmd.SetIn(world.In)
	cmd.SetOut(world.Out)
	cmd.SetErr(world.Err)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(flagError)
	started := false
	each(cmd, func(c *cobra.Command) {
		if run := c.RunE; run != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				started = true
				if err := checkAllowed(cmd); err != nil {
					return err
				}
				return run(cmd, args)
			}
		}
	})
	executed, err := cmd.ExecuteContextC(WithIO(ctx, world))
	if err == nil {
		return 0
	}
	return report(classify(err, started), cmd.Name(), outputOf(executed, world.Args), world)
}

// each calls visit for a command and all its subcommands.
func each(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		each(c, visit)
	}
}

// WithIO returns a context with the IO of a command that is part of another program's tree.
func WithIO(ctx context.Context, world IO) context.Context {
	return context.WithValue(ctx, ioKey{}, world)
}

func ioOf(cmd *cobra.Command) IO {
	world, _ := cmd.Context().Value(ioKey{}).(IO)
	return world
}
