package cli_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/cli"
)

// variables are those of a command's options.
func variables(cmd *cobra.Command) []string {
	var names []string
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		// The options that tools have in common belong to one call: a variable would change the calls of scripts.
		if !slices.Contains([]string{"help", "version", "output", "connect-timeout", "dry-run", "yes"}, f.Name) {
			names = append(names, variableOf(f.Name))
		}
	})
	return names
}

// variableOf is the variable of an option: that of the NATS CLI for its contexts.
func variableOf(option string) string {
	if option == "nats-context" {
		return "NATS_CONTEXT"
	}
	return "HOOKTURN_" + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

func find(t *testing.T, path ...string) *cobra.Command {
	t.Helper()
	cmd, rest, err := cli.StarterCommand().Find(path)
	require.NoError(t, err)
	require.Empty(t, rest)
	return cmd
}

func TestFlags_EachHasItsVariable(t *testing.T) {
	t.Parallel()
	listed := slices.DeleteFunc(app.EnvironmentVariables(), func(name string) bool {
		return strings.HasPrefix(name, "TEMPORAL_") || strings.HasPrefix(name, "OTEL_")
	})
	found := map[string]bool{}
	for _, cmd := range []*cobra.Command{cli.WorkerCommand(), cli.StarterCommand(), find(t, "run"), find(t, "setup")} {
		for _, name := range variables(cmd) {
			require.Contains(t, listed, name, "option of %s", cmd.CommandPath())
			found[name] = true
		}
	}
	require.Equal(t, listed, slices.Sorted(maps.Keys(found)), "every variable belongs to an option")
	require.Equal(t, variables(cli.StarterCommand()), variables(find(t, "run")), "run is what starter does without a subcommand")
}

func TestFlags_InvalidValueNamesItsVariable(t *testing.T) {
	t.Parallel()
	for variable, cmd := range map[string]func() *cobra.Command{
		"HOOKTURN_PARTITIONS":       cli.WorkerCommand,
		"HOOKTURN_EVENTS_MAX_BYTES": cli.WorkerCommand,
		"HOOKTURN_REPLICAS":         cli.StarterCommand,
		"HOOKTURN_MAX_IN_FLIGHT":    cli.StarterCommand,
		"HOOKTURN_STOP_TIMEOUT":     cli.StarterCommand,
		"HOOKTURN_LOG_LEVEL":        cli.WorkerCommand,
		"HOOKTURN_LOG_FORMAT":       cli.StarterCommand,
		"HOOKTURN_EGRESS_ALLOW":     cli.WorkerCommand,
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			w := &world{env: map[string]string{variable: "a/b/c"}}
			require.NotZero(t, w.run(testContext(t), cmd(), "--bots", t.TempDir()))
			require.Contains(t, w.err.String(), variable)
			require.Contains(t, w.err.String(), `"a/b/c"`)
		})
	}
}

func TestFlags_BadValueNamesItsVariableAndAnExample(t *testing.T) {
	t.Parallel()
	w := &world{}
	require.Equal(t, 2, w.run(testContext(t), cli.WorkerCommand(), "--bots", t.TempDir(), "--partitions", "many"))
	for _, want := range []string{"--partitions", "HOOKTURN_PARTITIONS", `"many"`, "expected int, for example --partitions="} {
		require.Contains(t, w.err.String(), want)
	}
	w = &world{env: map[string]string{"HOOKTURN_STOP_TIMEOUT": "long"}}
	require.Equal(t, 2, w.run(testContext(t), cli.WorkerCommand(), "--bots", t.TempDir()))
	require.Contains(t, w.err.String(), "expected duration, for example HOOKTURN_STOP_TIMEOUT=30s")
	w = &world{env: map[string]string{"NATS_CONTEXT": "not-there"}}
	require.NotZero(t, w.run(testContext(t), cli.StarterCommand(), "tail"))
	require.Contains(t, w.err.String(), "NATS_CONTEXT")
}

func TestFlags_OverrideTheEnvironment(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"variable":               {n.at(), nil},
		"flag":                   {nil, []string{"--nats-url", n.url}},
		"flag over variable":     {map[string]string{"HOOKTURN_NATS_URL": "nats://%zz"}, []string{"--nats-url", n.url}},
		"flag over a bad value":  {map[string]string{"HOOKTURN_NATS_URL": n.url, "HOOKTURN_LOG_LEVEL": "x"}, []string{"--log-level", "warn"}},
		"an empty variable":      {map[string]string{"HOOKTURN_NATS_URL": n.url, "HOOKTURN_LOG_FORMAT": ""}, nil},
		"other program's":        {map[string]string{"HOOKTURN_NATS_URL": n.url, "NATS_URL": "nats://%zz"}, nil},
		"one of another command": {map[string]string{"HOOKTURN_NATS_URL": n.url, "HOOKTURN_STOP_TIMEOUT": "x"}, nil},
		"a flag that is empty":   {map[string]string{"HOOKTURN_NATS_URL": n.url, "HOOKTURN_NATS_CREDS": "missing"}, []string{"--nats-creds", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{env: c.env}
			require.Equal(t, 3, w.run(testContext(t), cli.StarterCommand(), append([]string{"deadletters", "list"}, c.args...)...), "%s", &w.err)
		})
	}
	said := fail(t, &world{env: map[string]string{"HOOKTURN_NATS_URL": "nats://user:hidden@%zz"}}, "deadletters", "list")
	require.Contains(t, said, "invalid nats address: check --nats-url or HOOKTURN_NATS_URL")
	require.NotContains(t, said, "hidden")
}

func TestFlags_UnknownArguments(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"unknown flag: --frob":                                              {"--frob"},
		"unknown flag: --gateway":                                           {"run", "--gateway", ":1"},
		`unknown command "frob" for "starter"`:                              {"frob"},
		`unknown command "bots/" for "starter run"`:                         {"run", "bots/"},
		"unknown flag: --dat":                                               {"send", "--dat", "{}"},
		`invalid argument "many" for "--partitions" flag`:                   {"--partitions", "many"},
		`invalid argument "1" for "--since" flag: time: missing unit`:       {"tail", "--since", "1"},
		`invalid argument "-1" for "--after" flag: strconv.ParseUint`:       {"deadletters", "list", "--after", "-1"},
		"invalid --tenant or --bot: expected [A-Za-z0-9_-]{1,64}":           {"tail", "--bot", "a.b"},
		"invalid --tenant or --bot":                                         {"deadletters", "list", "--tenant", ">"},
		`invalid argument "x" for "--stop-timeout" flag: time: invalid dur`: {"run", "--stop-timeout", "x"},
	} {
		w := &world{}
		said := fail(t, w, args...)
		require.Contains(t, said, "starter: "+want)
		require.Len(t, lines(said), 1, "one line, not the whole usage: %s", said)
		require.Empty(t, w.out.String())
	}
	w := &world{}
	require.Equal(t, 2, w.run(testContext(t), cli.WorkerCommand(), "--gateway-addr", ":1"))
	require.Equal(t, "worker: unknown flag: --gateway-addr\n", w.err.String())
}

func TestFlags_HelpIsOutput(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"starter --help":      {"--help"},
		"starter help send":   {"help", "send"},
		"starter send -h":     {"send", "-h"},
		"deadletters -h":      {"deadletters", "replay", "-h"},
		"without needed flag": {"send", "--help"},
	} {
		w := &world{env: map[string]string{"HOOKTURN_HELP": "x"}}
		require.Contains(t, succeed(t, w, args...), "Usage:", name)
		require.Empty(t, w.err.String(), name)
	}
	all := succeed(t, &world{}, "--help")
	for _, command := range []string{"run", "send", "tail", "validate", "deadletters", "setup"} {
		require.Contains(t, all, "\n  "+command+" ")
	}
	for _, cmd := range []*cobra.Command{cli.WorkerCommand(), cli.StarterCommand()} {
		w := &world{env: map[string]string{"HOOKTURN_VERSION": "1.2"}}
		require.Zero(t, w.run(testContext(t), cmd, "--version"))
		require.Equal(t, cmd.Name()+" version "+app.Build.String()+"\n", w.out.String())
	}
}
