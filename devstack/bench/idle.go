package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// idleFor is longer than a measurement: an idle conversation does nothing until it ends.
const idleFor = 24 * time.Hour

// openIdle opens conversations that do nothing, by a path that is faster than an event each: a run whose first task is
// delayed, and a stored reply. The server holds for each what it holds for a conversation whose user has gone: its rows, its
// visibility record and a timer that fires much later. No worker has it in its cache.
func (r *rig) openIdle(ctx context.Context, from, to int) error {
	return drive(inFlightMany, func(n int) bool { return from+n < to }, func(n int) error {
		return r.startIdle(ctx, r.load.bot.WithConversation(idleConversation(from+n)))
	}, func(time.Duration) {})
}

func idleConversation(n int) string { return fmt.Sprintf("idle-%d", n) }

func (r *rig) startIdle(ctx context.Context, key schemas.ConversationKey) error {
	state := step.State{ConversationKey: key, IdleTimeout: bot.Duration(idleFor), EventsPerRun: step.EventsPerRun,
		Format: step.FormatLatest}
	_, err := r.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: step.ConversationID(key), TaskQueue: step.QueueMain, StartDelay: idleFor,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(key.Tenant),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(key.Bot),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeConversation).ValueSet(key.Conversation),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(stepLocal)),
	}, step.WorkflowConversation, state)
	if err != nil {
		return fmt.Errorf("start idle conversation %s: %w", key.Conversation, err)
	}
	reply, err := schemas.NewReply(key, "1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{
		EventID: "1", Step: stepLocal, Outcome: schemas.OutcomeSuccess, Conversation: schemas.ConversationOpen,
	})
	if err != nil {
		return err
	}
	return r.load.publisher.PublishReply(ctx, key.BotID, reply)
}

// lookups measures the tools that look at conversations beside all the idle ones that are there.
func (r *rig) lookups(ctx context.Context, out io.Writer, idle int) error {
	const chat = "looked-at"
	for _, v := range r.env { // Temporal's own variables are read from the process's environment
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	for range chatSteps {
		if _, err := r.load.step(ctx, chat, stepLocal); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n| command, %d conversations | median ms | slowest ms |\n|---|---|---|\n", idle)
	for _, args := range [][]string{
		{"conversations", "show", chat, "--bot", "bench"},
		{"conversations", "show", idleConversation(idle / 2), "--bot", "bench"},
		{"conversations", "list"},
		{"conversations", "list", "--bot", "bench", "--busy", "1s"},
	} {
		took, err := r.lookup(ctx, args...)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| starter %s | %s | %s |\n", args, ms(took.quantile(0.5)), ms(took.quantile(1)))
	}
	return nil
}

// lookup runs a tool five times. That it finds nothing is an answer.
func (r *rig) lookup(ctx context.Context, args ...string) (m measurement, err error) {
	const times, foundNothing = 5, 3
	for range times {
		var printed bytes.Buffer
		began := time.Now()
		status := cli.RunContext(ctx, cli.StarterCommand(), cli.IO{
			Args: args, In: strings.NewReader(""), Out: &printed, Err: &printed, LookupEnv: os.LookupEnv,
		})
		m.latencies = append(m.latencies, time.Since(began))
		if status != 0 && status != foundNothing {
			return m, fmt.Errorf("starter %s ended with %d: %s", args, status, printed.String())
		}
	}
	return m, nil
}
