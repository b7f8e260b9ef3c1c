package cli_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// tools returns every command that is a tool: all but the processes.
func tools() map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			if child.Name() != "completion" && child.Name() != "help" && child.Name() != "run" {
				visit(child)
			}
		}
		if c.HasParent() && len(c.Commands()) == 0 {
			found[c.CommandPath()] = c
		}
	}
	visit(cli.StarterCommand())
	visit(cli.WorkerCommand())
	return found
}

// readOnly are the tools that change nothing in NATS and Temporal. Every other tool has to have a dry run and a confirmation.
var readOnly = []string{
	"starter audit", "starter bots list", "starter bots show", "starter chaos", "starter check", "starter conversations list",
	"starter conversations show", "starter deadletters list", "starter deadletters show", "starter deployments list",
	"starter endpoints list", "starter run-script", "starter schema", "starter secret new", "starter steps list", "starter tail",
	"starter validate", "starter verify-signature",
}

// TestTools_CommonOptions: contract, section 9.3.
func TestTools_CommonOptions(t *testing.T) {
	t.Parallel()
	all := tools()
	for name, cmd := range all {
		require.NotEmpty(t, cmd.Example, name)
		has := func(flag, value string) {
			t.Helper()
			require.NotNil(t, cmd.Flag(flag), "%s --%s", name, flag)
			require.Equal(t, value, cmd.Flag(flag).DefValue, "%s --%s", name, flag)
		}
		has("output", "text")
		has("connect-timeout", "5s")
		if slices.Contains(readOnly, name) {
			require.Nil(t, cmd.Flag("yes"), name)
			continue
		}
		has("dry-run", "false")
		has("yes", "false")
	}
	for _, name := range readOnly {
		require.Contains(t, all, name)
	}
}

// TestTools_OfflineTakeTheTimeout: scripts pass the options of tools to each of them.
func TestTools_OfflineTakeTheTimeout(t *testing.T) {
	t.Parallel()
	require.Contains(t, succeed(t, &world{}, "secret", "new", "--connect-timeout", "1s"), "whsec_")
	require.Contains(t, succeed(t, &world{}, "schema", "--help"), "for the tools that connect to NATS or Temporal; this one does not")
}

func TestTools_ExitStatus(t *testing.T) {
	t.Parallel()
	n, bare := startNATS(t), startBareNATS(t)
	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, event("e-1"), fault.UnknownBot)
	dir := directory(t, map[string]string{"shop.yaml": badBot})
	nowhere := map[string]string{"HOOKTURN_NATS_URL": "nats://" + unreachableAddr(t)}
	for name, c := range map[string]struct {
		env    map[string]string
		args   []string
		status int
		kind   string
	}{
		"unknown flag":      {nil, []string{"tail", "--frob"}, 2, "usage"},
		"unknown command":   {nil, []string{"frob"}, 2, "usage"},
		"missing argument":  {nil, []string{"deadletters", "show"}, 2, "usage"},
		"missing flag":      {nil, []string{"send", "-"}, 2, "usage"},
		"bad argument":      {nil, []string{"deadletters", "show", "first"}, 2, "usage"},
		"bad variable":      {map[string]string{"HOOKTURN_LOG_LEVEL": "x"}, []string{"deadletters", "list"}, 2, "usage"},
		"no such file":      {nil, []string{"send", "--bot", "b", dir + "/missing"}, 3, "not_found"},
		"no such script":    {nil, []string{"run-script", dir + "/missing.py"}, 3, "not_found"},
		"no such body":      {nil, []string{"verify-signature", "--secret", "s", "--body", dir + "/missing"}, 3, "not_found"},
		"no such bots":      {nil, []string{"bots", "show", "x", "--bots", dir + "/missing"}, 3, "not_found"},
		"no credentials":    {n.at(), []string{"deadletters", "list", "--nats-creds", dir + "/missing"}, 2, "usage"},
		"bad address":       {nil, []string{"deadletters", "list", "--nats-url", "nats://a b"}, 2, "usage"},
		"no payload keys":   {n.at(), []string{"steps", "list", "--payload-keys", dir + "/missing"}, 2, "usage"},
		"no such letter":    {n.at(), []string{"deadletters", "show", "99"}, 3, "not_found"},
		"empty filter":      {n.at(), []string{"deadletters", "list", "--bot", "bank"}, 3, "not_found"},
		"no such bot":       {nil, []string{"bots", "show", "x", "--bots", "../../examples/bots", "--egress-allow", "127.0.0.1"}, 3, "not_found"},
		"not confirmed":     {n.at(), []string{"deadletters", "replay", "1"}, 4, "refused"},
		"invalid event":     {nil, []string{"send", "--bot", "b", "--conversation", "c", "--data", "{}"}, 4, "invalid"},
		"no such directory": {nil, []string{"validate", dir + "/missing"}, 3, "not_found"},
		"no server":         {nowhere, []string{"deadletters", "list", "--connect-timeout", "100ms"}, 5, "unreachable"},
		"no temporal": {
			nil, []string{"deployments", "list", "--connect-timeout", "100ms"}, 5, "unreachable",
		},
		"bad deployment": {nil, []string{"deployments", "list", "--deployment-name", "a b", "--connect-timeout", "1h"}, 2, "usage"},
		"bad deployment of the environment": {
			map[string]string{"HOOKTURN_DEPLOYMENT_NAME": "a b"}, []string{"deployments", "list", "--connect-timeout", "1h"}, 2, "usage",
		},
		"no streams": {bare.at(), []string{"deadletters", "list"}, 1, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{env: c.env}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), c.args...), "%s", &w.err)
			require.Empty(t, w.out.String())
			require.Contains(t, w.err.String(), "starter: ")

			w = &world{env: c.env}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), append(c.args, "--output", "json")...))
			var document struct {
				Error struct {
					Kind, Message string
					Hint          *string
				}
			}
			require.NoError(t, json.Unmarshal([]byte(w.out.String()), &document), "one document: %s", &w.out)
			require.Equal(t, c.kind, document.Error.Kind)
			require.NotEmpty(t, document.Error.Message)
			require.NotNil(t, document.Error.Hint)
			require.NotContains(t, w.err.String(), "starter: ")
		})
	}
}

func TestTools_JSONDocument(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.answer(t)
	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, event("e-1"), fault.UnknownBot)
	dir := directory(t, map[string]string{"shop.yaml": badBot})
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"secret":  {[]string{"secret", "new"}, 0, `"secret":"whsec_`},
		"list":    {[]string{"deadletters", "list"}, 0, `"reason":"unknown_bot"`},
		"show":    {[]string{"deadletters", "show", "1"}, 0, `"data":"eyJzcGVj`},
		"dry run": {[]string{"deadletters", "replay", "1", "--dry-run"}, 0, `{"sequence":1}`},
		"check":   {[]string{"validate", dir}, 4, `"problems":["`},
		"send":    {[]string{"send", "--bot", "shop", "-", "--wait", "1h"}, 0, `"replies":[{`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{env: n.at(), in: event("e-9")}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), append(c.args, "--output=json")...), "%s", &w.err)
			require.True(t, json.Valid([]byte(w.out.String())), &w.out)
			require.Contains(t, w.out.String(), c.want)
		})
	}
}

// TestTools_Confirmation: a tool that changes something does so only when it was confirmed.
func TestTools_Confirmation(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, event("e-1"), fault.UnknownBot)
	left := func() int {
		list, err := bus.NewDeadLetters(n.js, n.streams).List(testContext(t), bus.DeadLetterFilter{})
		require.NoError(t, err)
		return len(list)
	}
	for _, w := range []*world{{}, {in: "y\n"}, {terminal: true}, {terminal: true, in: "n\n"}, {terminal: true, in: "maybe\n"}} {
		w.env = n.at()
		require.Equal(t, 4, w.run(testContext(t), cli.StarterCommand(), "deadletters", "replay", "1"))
		require.Contains(t, w.err.String(), "not confirmed, nothing was done: publish dead letter 1 again")
		require.Equal(t, 1, left())
	}
	succeed(t, &world{env: n.at()}, "deadletters", "replay", "1", "--dry-run")
	require.Equal(t, 1, left())
	w := &world{env: n.at(), terminal: true, in: "y\n"}
	succeed(t, w, "deadletters", "replay", "1")
	require.Contains(t, w.err.String(), "publish dead letter 1 again as an event of hookturn.events.default.shop.c-42? [y/N] ")
	require.Zero(t, left())
}

// TestTools_QuestionOnTerminal: what scripts have always run without --yes asks on a terminal only.
func TestTools_QuestionOnTerminal(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	args := func(id string, more ...string) []string {
		return append([]string{"send", "--bot", "shop", "--conversation", "c-42", "--data", `{"step":"ORDER"}`, "--id", id}, more...)
	}
	const question = "publish event e-1 of conversation c-42, hookturn.step.requested, for bot shop of tenant default"
	for _, in := range []string{"", "n\n", "maybe\n"} {
		w := &world{env: n.at(), terminal: true, in: in}
		require.Equal(t, 4, w.run(testContext(t), cli.StarterCommand(), args("e-1")...))
		require.Contains(t, w.err.String(), question+"? [y/N] ")
		require.Contains(t, w.err.String(), "starter: not confirmed, nothing was done: "+question)
		require.Empty(t, w.out.String())
	}
	out := succeed(t, &world{env: n.at(), terminal: true, in: "y\n"}, args("e-1")...)
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", out, "nothing was stored before")
	w := &world{env: n.at(), terminal: true}
	require.Equal(t, "event e-2 stored as 2 (duplicate: false)\n", succeed(t, w, args("e-2", "--yes")...))
	require.Empty(t, w.err.String())
	w = &world{env: n.at()}
	require.Equal(t, "event e-3 stored as 3 (duplicate: false)\n", succeed(t, w, args("e-3")...))
	require.Empty(t, w.err.String())
}

func TestTools_Completion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, succeed(t, &world{}, "completion", shell), "starter")
	}
	require.Contains(t, succeed(t, &world{}, "__complete", "deadletters", "list", "--output", ""), "json\n")
	require.Contains(t, succeed(t, &world{}, "__complete", "deadletters", "list", "--reason", "unknown"), "unknown_bot\n")
}
