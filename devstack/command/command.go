// Package command is the program "devstack" as a library, so that tests and benchmarks can run its parts as processes.
package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/devstack/bench"
	"github.com/hookturn/hookturn/devstack/demo"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// Run runs the program and returns its exit status.
func Run(args []string) int {
	telemetry.CaptureLibraries()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if _, ok := os.LookupEnv("GOGC"); !ok {
		debug.SetGCPercent(400) // the embedded servers make much garbage on a small heap
	}
	root := serveCommand()
	root.SetArgs(args)
	stopProfile := profiled(root)
	defer stopProfile()
	root.AddCommand(demo.Command(), bench.Command(), natsCommand(), temporalCommand())
	addPrograms(root)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
		return 1
	}
	return 0
}

// profiled adds a flag to every command that writes a CPU profile of the whole process.
func profiled(root *cobra.Command) (stop func()) {
	var path string
	var file *os.File
	root.PersistentFlags().StringVar(&path, "cpu-profile", "", "write a CPU profile of the process to this file")
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		if path == "" {
			return nil
		}
		if file, err = os.Create(path); err != nil {
			return err
		}
		return pprof.StartCPUProfile(file)
	}
	return func() {
		if file != nil {
			pprof.StopCPUProfile()
			_ = file.Close()
		}
	}
}

// addPrograms puts the product's own programs into this binary, for benchmarks that measure them as processes.
func addPrograms(root *cobra.Command) {
	for _, program := range []*cobra.Command{cli.WorkerCommand(), cli.StarterCommand()} {
		program.Hidden = true
		run := program.RunE
		program.RunE = func(cmd *cobra.Command, args []string) error {
			cmd.SetContext(cli.WithIO(cmd.Context(), cli.OS()))
			return run(cmd, args)
		}
		root.AddCommand(program)
	}
}

func serveCommand() *cobra.Command {
	o := stack.Options{UI: true}
	var logLevel, webhookAddr string
	cmd := &cobra.Command{
		Use:           "devstack",
		Short:         "Run Temporal with its UI, NATS, a sample webhook server, a worker and a starter in one process",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Log, err = telemetry.NewLogger(cmd.ErrOrStderr(), logLevel, "text"); err != nil {
				return err
			}
			telemetry.LibrariesTo(o.Log)
			if webhookAddr != "" {
				if o.Endpoint, err = stack.StartSamples(webhookAddr); err != nil {
					return err
				}
			}
			return serve(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bots, "bots", "examples/bots", "directory of the bot files")
	f.StringVar(&o.SecretsDir, "secrets-dir", "", "directory of the tenants' secrets (default: secrets beside the bot files)")
	f.StringVar(&o.DataDir, "data-dir", "", "directory of all state; empty: state ends with the process")
	f.StringVar(&o.NATSAddr, "nats-addr", "127.0.0.1:4222", "host:port of NATS")
	f.StringVar(&o.TemporalAddr, "temporal-addr", "127.0.0.1:7233", "host:port of Temporal")
	f.StringVar(&o.TemporalPostgres, "temporal-postgres", "",
		"PostgreSQL of Temporal, as in postgres://user:password@host:port/db; empty: SQLite")
	f.IntVar(&o.HistoryShards, "history-shards", 0, "history shards of Temporal; 0: 64 with PostgreSQL, else 1")
	f.StringVar(&o.UIAddr, "ui-addr", "127.0.0.1:8233", "host:port of the Temporal UI")
	f.StringVar(&o.Gateway.Addr, "gateway-addr", "127.0.0.1:8080", "host:port of the gateway")
	f.StringVar(&o.Gateway.EventTokens, "event-tokens", "", "file with a tenant and its token for POST /events in each line")
	f.StringVar(&o.Gateway.OperatorToken, "operator-token-file", "", "file with the token of the admin API")
	f.StringVar(&o.PayloadKeys, "payload-keys", "", "directory of the keys that encrypt what goes to Temporal; empty: in clear")
	f.StringSliceVar(&o.Gateway.CodecOrigins, "codec-origin", nil,
		"web origin of the Temporal UI, which may use the codec server")
	f.StringVar(&o.AdminAddr, "admin-addr", "127.0.0.1:9090", "host:port of /healthz, /readyz and /metrics")
	f.StringVar(&webhookAddr, "webhook-addr", "127.0.0.1:8090", "host:port of the sample webhook server; empty: none")
	f.BoolVar(&o.Code, "code", true, "run code steps when this machine supports the sandbox")
	f.BoolVar(&o.Engine, "engine", true, "run a worker and a starter in this process")
	f.StringVar(&logLevel, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

func serve(cmd *cobra.Command, o stack.Options) error {
	s, err := stack.Start(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Fprintln(cmd.OutOrStdout(), s.Ready())
	greet(cmd, s)
	<-cmd.Context().Done()
	return nil
}

// greet prints addresses and next steps on standard error.
func greet(cmd *cobra.Command, s *stack.Stack) {
	out := cmd.ErrOrStderr()
	fmt.Fprintf(out, "\nTemporal UI      %s\nNATS             %s\nTemporal         %s\n",
		s.UI.URL(), s.NATS.URL(), s.Temporal.Addr())
	if s.Endpoint != nil {
		fmt.Fprintf(out, "sample webhooks  %s\n", s.Endpoint.URL())
	}
	if s.Starter != nil {
		fmt.Fprintf(out, "gateway          http://%s\nadmin            http://%s/metrics\n",
			s.Starter.GatewayAddr(), s.Starter.AdminAddr())
	}
	if s.NoCode != nil {
		fmt.Fprintf(out, "code steps       off: %v\n", s.NoCode)
	}
	fmt.Fprintf(out, `
try:  bin/starter send --nats-url %s --bot shop --conversation c-42 --wait 10s --yes \
        --data '{"step":"ORDER_STATUS","entities":{"product_name":[
                 {"detection":"message","original_text":"speaker","entity_value":"speaker"}]}}'
stop: Ctrl-C
`, s.NATS.URL())
}
