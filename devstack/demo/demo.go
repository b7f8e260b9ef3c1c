// Package demo shows hookturn's main job to a newcomer: sample events go in on NATS, webhooks are called, replies come
// back, and every run can be looked at in the Temporal UI.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// sampleAddr is where the example bots expect the sample webhook server; the demo moves it to a free port.
const sampleAddr = "127.0.0.1:8090"

// patience bounds the wait for one reply.
const patience = 2 * time.Minute

// Command is "devstack demo".
func Command() *cobra.Command {
	var bots string
	var stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything, send sample events, print each reply and where to see its run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), bots, stay)
		},
	}
	cmd.Flags().StringVar(&bots, "bots", "examples/bots", "directory of the example bots")
	cmd.Flags().BoolVar(&stay, "stay", false, "stay up after the last reply, so that the links can be opened")
	return cmd
}

type demo struct {
	out     io.Writer
	stack   *stack.Stack
	js      jetstream.JetStream
	replies chan schemas.Reply
}

func run(ctx context.Context, out, logs io.Writer, bots string, stay bool) error {
	dir, err := os.MkdirTemp("", "hookturn-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, logs, bots, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: s.NATS.URL()}, "hookturn-demo", nil)
	if err != nil {
		return err
	}
	defer nc.Close()
	d := &demo{out: out, stack: s, js: js, replies: make(chan schemas.Reply, 16)}
	stop, err := d.follow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "hookturn demo: everything runs in this process.\n"+
		"  NATS %s   Temporal %s   Temporal UI %s   sample webhooks %s\n",
		s.NATS.URL(), s.Temporal.Addr(), s.UI.URL(), s.Endpoint.URL())
	if err := d.play(ctx); err != nil {
		return err
	}
	if stay {
		fmt.Fprintf(out, "\nThe stack stays up: open %s, press Ctrl-C to end.\n", s.UI.URL())
		<-ctx.Done()
		return nil
	}
	fmt.Fprintf(out, "\nAll of it worked. To open the links, keep the stack up: bin/devstack demo --stay, or make dev.\n")
	return nil
}

// start starts the stack on free ports. The webhook server comes first: the bot files must name its address.
func start(ctx context.Context, logs io.Writer, bots, dir string) (*stack.Stack, error) {
	log, err := telemetry.NewLogger(logs, "error", "text")
	if err != nil {
		return nil, err
	}
	samples, err := stack.StartSamples("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(dir, "bots")
	if err := copyBots(bots, copied, samples.Addr()); err != nil {
		samples.Stop()
		return nil, err
	}
	return stack.Start(ctx, stack.Options{
		Bots: copied, SecretsDir: filepath.Join(filepath.Dir(bots), "secrets"), DataDir: filepath.Join(dir, "state"),
		Endpoint: samples, Engine: true, UI: true, Code: true, Log: log,
		Gateway:   app.Gateway{Addr: "127.0.0.1:0", EventTokens: filepath.Join(filepath.Dir(bots), "event-tokens")},
		AdminAddr: "127.0.0.1:0",
	})
}

// copyBots copies the example bots, with the sample webhook server's address in the place of its usual one.
func copyBots(from, to, addr string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("load example bots: %w (run in the root of the repository, or set --bots)", err)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, []byte(strings.ReplaceAll(string(content), sampleAddr, addr)), 0o600)
	})
}

// follow reads replies into the channel until stop is called.
func (d *demo) follow(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- bus.Follow(ctx, d.js, bus.Tail{}, func() { close(ready) }, func(r bus.StoredReply) error {
			var reply schemas.Reply
			if err := json.Unmarshal(r.Data, &reply); err != nil {
				return err
			}
			select {
			case d.replies <- reply:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	select {
	case <-ready:
		return func() {
			cancel()
			if err := <-done; err != nil {
				fmt.Fprintln(d.out, "reading replies ended early:", err)
			}
		}, nil
	case err := <-done:
		cancel()
		return nil, err
	}
}

// send publishes one event as a bot engine would.
func (d *demo) send(ctx context.Context, bot, conversation, eventType string, data any) error {
	id := uuid.NewString()
	raw, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": id, "source": "/engines/demo", "type": eventType, "time": time.Now().UTC(),
		"subject": conversation, "datacontenttype": "application/json", "data": data,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  -> %s\n", eventType)
	_, _, err = bus.NewPublisher(d.js).PublishEvent(ctx, schemas.BotID{Tenant: "default",
		Bot: bot}.WithConversation(conversation), raw, id, nats.Header{})
	return err
}

var errNoReply = errors.New("no reply within " + patience.String())

// expect waits for the next reply, which must be of a type, and prints it in words.
func (d *demo) expect(ctx context.Context, replyType string) (schemas.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNoReply)
	defer cancel()
	select {
	case r := <-d.replies:
		if r.Type != replyType {
			return r, fmt.Errorf("expected a %s, got a %s: %s", replyType, r.Type, r.Data)
		}
		return r, nil
	case <-ctx.Done():
		return schemas.Reply{}, fmt.Errorf("waiting for a %s: %w", replyType, context.Cause(ctx))
	}
}

// link is where the Temporal UI shows a run.
func (d *demo) link(w schemas.WorkflowRef) string {
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history",
		d.stack.UI.URL(), d.stack.Temporal.Namespace(), url.PathEscape(w.ID), w.RunID)
}
