package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/schemas"
)

// commandLine is the page whose examples are run.
const commandLine = "../../docs/cli.md"

// example is one example of the page, with its exit status on an installation with one open conversation of bot shop, an
// event of an unknown bot and a step that has failed. lasting ones run until they are interrupted.
type example struct {
	line    string
	status  int
	lasting bool
	event   string // content of event.json
}

// examplesRun are the examples in an order in which each has something to do.
var examplesRun = []example{
	{line: "setup --engines default,acme"},
	{line: "setup --replies-max-bytes 3GiB --dry-run"},
	{line: "secret new"},
	{line: "schema"},
	{line: "schema botfile"},
	{line: "validate examples/bots --secrets-dir examples/secrets --egress-allow 127.0.0.1:8090"},
	{line: "validate examples/bots --without-secrets --egress-allow 127.0.0.1:8090"},
	{line: "bots show shop --bots examples/bots"},
	{line: "run-script examples/bots/verify_otp.py --event event.json", event: exampleOTP},
	{line: "run-script verify_otp.py --bots bots --bot shop --step VERIFY_OTP --packages packages", status: 1}, // without an OTP
	{line: "send --bot shop --conversation c-42 --data '{\"step\":\"ORDER_STATUS\"}' --wait 10s", status: 6},   // it waits for an entity
	{line: "send --bot shop event.json --dry-run", event: exampleEvent},
	{line: "tail --bot shop --since 1h", lasting: true},
	{line: "check http://127.0.0.1:8090/orders --dialect haptik --secret whsec_aG9va3R1cm4gZXhhbXBsZSBzZWNyZXQsIGZvciB0cmlhbHM="},
	{line: "chaos --addr 127.0.0.1:8099", lasting: true},
	{line: "verify-signature --secret example --header 'X-Hub-Signature: sha1=…' --body request.json", status: 4},
	{line: "verify-signature --scheme standard --secret whsec_… --header 'webhook-id: e-1' --header 'webhook-timestamp: 1764000000' " +
		"--header 'webhook-signature: v1,…' --body request.json --at 1764000000", status: 4},
	{line: "conversations list --bot shop --since 24h"},
	{line: "conversations list --busy 1s --limit 10", status: 3},
	{line: "conversations show c-42 --bot shop"},
	{line: "steps list --bot shop --since 24h"},
	{line: "steps repeat --bot shop --kind status --since 1h --dry-run"},
	{line: "steps repeat --bot shop --since 1h --rate 5 --yes"},
	{line: "deadletters list --bot shop --reason unknown_step", status: 3},
	{line: "deadletters show 1"},
	{line: "deadletters replay --reason unknown_bot --dry-run"},
	{line: "deadletters replay 1 --yes"},
	{line: "deadletters replay --bot shop --since 24h --rate 50 --yes", status: 3},
	{line: "endpoints pause https://shop.example/orders --bot shop --for 30m --reason maintenance --yes"},
	{line: "endpoints list --bot shop"},
	{line: "endpoints resume https://shop.example/orders --bot shop --yes"},
	{line: "bots pause shop --for 30m --reason maintenance --yes"},
	{line: "bots list"},
	{line: "bots resume shop --yes"},
	{line: "deployments list --output json"},
	{line: "deployments promote --build-id v1.2.0 --dry-run", status: 3},
	{line: "deployments promote --build-id v1.2.0 --yes", status: 3},
	{line: "conversations cancel c-42 --bot shop --dry-run"},
	{line: "conversations cancel --bot shop --busy 1h --yes", status: 3},
	{line: "send --bot shop --conversation c-42 --type hookturn.entities.collected --wait 10s --data '{\"entities\":{\"product_name\":" +
		"[{\"detection\":\"message\",\"original_text\":\"speaker\",\"entity_value\":\"speaker\"}]}}'"}, // the step of c-42 waits for it
	{line: "erase --tenant default --user 91 --dry-run"},
	{line: "erase --tenant default --bot shop --conversation c-42 --yes"},
	{line: "audit --since 24h"},
	{line: "audit --action erase --actor ann --output json"},
}

// documentedExamples returns the examples of the page, without the name of the program.
func documentedExamples(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(commandLine)
	require.NoError(t, err)
	for _, block := range strings.Split(string(text), "Examples:\n\n```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
			rest, found := strings.CutPrefix(strings.TrimSpace(line), "starter ")
			require.True(t, found, line)
			lines = append(lines, strings.Join(strings.Fields(rest), " "))
		}
	}
	return lines
}

// TestCommandLine_ExamplesRun runs every example of docs/cli.md against the servers, with the addresses of this test.
func TestCommandLine_ExamplesRun(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, e := range examplesRun {
		listed = append(listed, e.line)
	}
	require.ElementsMatch(t, documentedExamples(t), listed, "each example of the page is run once")

	dir, webhooks := t.TempDir(), freeAddr()
	examples := filepath.Join(dir, "copied")
	require.NoError(t, copyExamples("../../examples/bots", examples, webhooks))
	secrets, err := filepath.Abs("../../examples/secrets")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "examples"), 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "packages"), 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bots"), 0o700))
	for name, target := range map[string]string{
		"examples/bots": examples, "examples/secrets": secrets,
		"verify_otp.py": filepath.Join(examples, "verify_otp.py"),
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	script, err := os.ReadFile(filepath.Join(examples, "verify_otp.py"))
	require.NoError(t, err)
	for name, text := range map[string]string{
		"bots/verify_otp.py": string(script),
		"request.json":       `{}`, "bots/shop.yaml": "bot: shop\nsteps: {VERIFY_OTP: {requires: [otp], code: {file: verify_otp.py}}}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	_, where := runServers(t, append(anyPort(), "--webhook-addr="+webhooks, "--bots="+examples, "--secrets-dir="+secrets)...)
	env := append(os.Environ(), "TEMPORAL_ADDRESS="+where["temporal"], "HOOKTURN_NATS_URL=nats://"+where["nats"], "HOOKTURN_ACTOR=ann",
		"HOOKTURN_EGRESS_ALLOW=127.0.0.1", "HOOKTURN_SECRETS_DIR="+secrets)
	e := newEngine(t, "nats://"+where["nats"])
	e.publish(t, "shop", "c-1", uuid.NewString(), schemas.TypeStepRequested, `{"step":"REFUND","user":{"id":"91"}}`)
	e.replied(t, "shop", "c-1", 1)
	unknown := `{"specversion":"1.0","id":"e-1","source":"/engine","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",` +
		`"subject":"c-1","data":{"step":"ORDER"}}`
	nc, err := nats.Connect("nats://" + where["nats"])
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Request("hookturn.events.default.ghost.c-1", []byte(unknown), patience)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		cmd := exec.Command(program(t, "starter"), "deadletters", "show", "1", waitLong)
		cmd.Env = env
		return cmd.Run() == nil
	}, patience, 100*time.Millisecond)

	for _, x := range examplesRun {
		line := strings.ReplaceAll(strings.ReplaceAll(x.line, "127.0.0.1:8090", webhooks), "127.0.0.1:8099", "127.0.0.1:0")
		if x.event != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "event.json"), []byte(x.event), 0o600))
		}
		status, out := runExample(t, dir, env, shellWords(line), x.lasting)
		if x.status != status {
			t.Errorf("starter %s: status %d, expected %d:\n%s", line, status, x.status, out)
		}
	}
}

const exampleOTP = `{"entities":{"otp":[{"entity_value":"1234"}]},"env_variables":{"OTP_KEY":"JBSWY3DPEHPK3PXP"}}`

const exampleEvent = `{"specversion":"1.0","id":"e-9","source":"/engine","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",
	"subject":"c-42","data":{"step":"ORDER_STATUS"}}`

// shellWords splits a line as a shell does: at spaces, except between single quotes.
func shellWords(line string) (all []string) {
	for n, part := range strings.Split(line, "'") {
		if n%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// runExample runs a command; one that lasts is interrupted when it has printed something.
func runExample(t *testing.T, dir string, env, args []string, lasting bool) (status int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	command, _, err := cli.StarterCommand().Find(args)
	require.NoError(t, err)
	if command.Flag("connect-timeout") != nil {
		args = append(args, waitLong)
	}
	cmd := exec.CommandContext(ctx, program(t, "starter"), args...)
	var printed bytes.Buffer
	first := make(chan struct{})
	began := sync.OnceFunc(func() { close(first) })
	both := writerFunc(func(p []byte) (int, error) {
		defer began()
		return printed.Write(p)
	})
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, both, both // one writer: the two are not written at the same time
	require.NoError(t, cmd.Start())
	if lasting {
		select {
		case <-first:
		case <-ctx.Done():
		}
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), printed.String()
	}
	require.NoError(t, err, args)
	return 0, printed.String()
}

// writerFunc is a function as a writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
