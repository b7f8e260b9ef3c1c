package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const (
	soon = time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond
)

// text is an output that a test reads while a command writes it.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *text) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *text) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// world is what a command of a test sees.
type world struct {
	in       string
	terminal bool
	env      map[string]string
	out, err text
}

// run runs a command. A tool waits for a server longer than it does by default: the servers of a test are there, and may
// be slow.
func (w *world) run(ctx context.Context, cmd *cobra.Command, args ...string) (status int) {
	if tool, _, err := cmd.Find(args); err == nil {
		if timeout := tool.Flags().Lookup("connect-timeout"); timeout != nil {
			if err := timeout.Value.Set(soon.String()); err != nil {
				panic(err)
			}
		}
	}
	return cli.RunContext(ctx, cmd, cli.IO{
		Args: append([]string{}, args...), // none means none, not those of the test
		In:   strings.NewReader(w.in), Out: &w.out, Err: &w.err, Terminal: w.terminal,
		LookupEnv: func(name string) (string, bool) {
			value, ok := w.env[name]
			return value, ok
		},
	})
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	return ctx
}

// succeed runs the starter's command and gives what it printed.
func succeed(t *testing.T, w *world, args ...string) string {
	t.Helper()
	require.Zero(t, w.run(testContext(t), cli.StarterCommand(), args...), "%v: %s", args, &w.err)
	return w.out.String()
}

// fail runs the starter's command, which must end with an error, and returns what it wrote to standard error.
func fail(t *testing.T, w *world, args ...string) string {
	t.Helper()
	require.NotZero(t, w.run(testContext(t), cli.StarterCommand(), args...), "%v: %s", args, &w.out)
	return w.err.String()
}

// beside runs a command beside the test. stop asks it to end and gives its status.
func beside(t *testing.T, w *world, cmd *cobra.Command, args ...string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- w.run(ctx, cmd, args...) }()
	stop = sync.OnceValue(func() int {
		cancel()
		select {
		case status := <-ended:
			return status
		case <-time.After(soon):
			t.Error("the command does not end")
			return -1
		}
	})
	t.Cleanup(func() { stop() })
	return stop
}

// nats is an embedded server and a connection to it, with the streams unless they were not asked for.
type nats struct {
	url     string
	js      bus.JetStream
	streams bus.Streams
}

func startNATS(t *testing.T) nats {
	t.Helper()
	n := startBareNATS(t)
	var err error
	n.streams, err = bus.Setup(testContext(t), n.js, bus.StreamOptions{Partitions: 2, StarterTTL: time.Minute})
	require.NoError(t, err)
	return n
}

func startBareNATS(t *testing.T) nats {
	t.Helper()
	s := natstest.Start(t)
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nats{url: s.ClientURL(), js: js}
}

// at is an environment that leads a command to this server.
func (n nats) at() map[string]string {
	return map[string]string{"HOOKTURN_NATS_URL": n.url, "HOOKTURN_BOTS": "testdata/bots"}
}

// reply stores a reply to the event of this id.
func (n nats) reply(ctx context.Context, key schemas.ConversationKey, eventID, replyType string, data any) error {
	r, err := schemas.NewReply(key, eventID, replyType, time.Now(), data)
	if err != nil {
		return err
	}
	return bus.NewPublisher(n.js).PublishReply(ctx, key.BotID, r)
}

func (n nats) replied(ctx context.Context, key schemas.ConversationKey, eventID string) error {
	return n.reply(ctx, key, eventID, schemas.TypeStepReplied,
		schemas.StepReplied{EventID: eventID, Step: "ORDER", Outcome: schemas.OutcomeSuccess})
}

// event is a whole event as a bot engine writes it.
func event(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/engine","type":"hookturn.step.requested",`+
		`"time":"2026-11-20T12:00:00Z","subject":"c-42", "data":{"step":"ORDER"}}`, id)
}

// directory writes files, by name.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func lines(printed string) []string { return strings.Split(strings.TrimSuffix(printed, "\n"), "\n") }
