package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const ordered = `bot: shop
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders}}}
`

const scripted = `bot: lab
base_urls: {test: "https://shop.example"}
steps: {ORDER: {code: {file: main.py}}}
`

const unordered = `bot: free
ordering: none
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders}}}
`

type bots struct{ set *bot.Set }

func (b bots) Current() *bot.Set { return b.set }

func setup(t *testing.T) (*intake.Intake, *mocks.Client) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(ordered), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "free.yaml"), []byte(unordered), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(scripted), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.py"), []byte("def main(event): return event"), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	c := mocks.NewClient(t)
	return &intake.Intake{
		Temporal: c, Bots: bots{set}, Replies: &replies{}, Queue: step.QueueMain, Log: slog.New(slog.DiscardHandler),
	}, c
}

// replies are the answers that the intake itself has published.
type replies struct {
	published []schemas.Reply
	fail      error
	lost      error     // why replies cannot be read
	since     time.Time // of the latest search
}

func (r *replies) Publish(_ context.Context, _ schemas.BotID, reply schemas.Reply) (*schemas.Reply, error) {
	if r.fail == nil {
		r.published = append(r.published, reply)
	}
	return nil, r.fail
}

func (r *replies) Find(_ context.Context, _ schemas.ConversationKey, id string, since time.Time) (*schemas.Reply, error) {
	r.since = since
	for _, reply := range r.published {
		if reply.ID == id {
			return &reply, r.lost
		}
	}
	return nil, r.lost
}

// accepting makes every conversation take its events: each call of UpdateWithStartWorkflow ends in the results of answer.
func accepting(c *mocks.Client, answer func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error)) {
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil).Maybe()
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(
		func(_ context.Context, o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
			return answer(o)
		}).Maybe()
}

// delivered is the delivery of an Update.
func delivered(o client.UpdateWorkflowOptions) step.Delivery {
	d, _ := o.Args[0].(step.Delivery)
	return d
}

func message(botName, eventType, data string, id ...string) *eventreader.Message {
	return messageOf(time.Now(), botName, eventType, data, id...)
}

// messageOf is the message, stored now, of an event that the engine made at a time.
func messageOf(at time.Time, botName, eventType, data string, id ...string) *eventreader.Message {
	return &eventreader.Message{
		BotID: schemas.BotID{Tenant: "default", Bot: botName}, Conversation: "c-42", Header: nats.Header{}, Received: time.Now(),
		Data: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":%q,"time":%q,`+
			`"subject":"c-42","data":%s}`, append(id, "e1")[0], eventType, at.Format(time.RFC3339Nano), data),
	}
}

func requested(botName string) *eventreader.Message {
	return message(botName, schemas.TypeStepRequested, `{"step":"ORDER"}`)
}

// handle is an Update's handle whose outcome is known: err refused it.
func handle(err error) *mocks.WorkflowUpdateHandle {
	h := &mocks.WorkflowUpdateHandle{}
	h.On("RunID").Return("run-1")
	h.On("Get", mock.Anything, mock.Anything).Return(err)
	return h
}

func TestIntake_EventBecomesAnUpdate(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	m := requested("shop")
	traceParent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	m.Header.Set("Traceparent", traceParent) // as libraries of HTTP write it
	m.Header.Set("tracestate", strings.Repeat("x", 513))
	m.Expires = time.Now().Add(time.Minute)
	var start client.StartWorkflowOptions
	var state step.State
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		start, _ = args[0].(client.StartWorkflowOptions)
		state, _ = args[2].(step.State)
	}).Return(nil)
	var sent client.UpdateWithStartWorkflowOptions
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		sent, _ = args[1].(client.UpdateWithStartWorkflowOptions)
	}).Return(handle(nil), nil)

	verdict(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, "conversation/default/shop/c-42", start.ID)
	require.Equal(t, "default", start.Priority.FairnessKey, "the server shares its workers between tenants")
	require.Equal(t, step.State{
		ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), IdleTimeout: bot.Duration(3 * time.Hour),
		EventsPerRun: step.EventsPerRun, Format: step.FormatLatest,
	}, state)
	require.Equal(t, len(m.Data), delivered(sent.UpdateOptions).Size)
	require.Equal(t, "step.requested", sent.UpdateOptions.UpdateName)
	require.Equal(t, "e1", sent.UpdateOptions.UpdateID)
	require.Equal(t, client.WorkflowUpdateStageAccepted, sent.UpdateOptions.WaitForStage)
	d, ok := sent.UpdateOptions.Args[0].(step.Delivery)
	require.True(t, ok)
	require.Equal(t, "https://shop.example/orders", d.Plan.Webhook.URL)
	require.Equal(t, traceParent, d.Event.TraceParent)
	require.Empty(t, d.Event.TraceState, "it is too long to be passed on")
	require.True(t, m.Expires.Equal(*d.UsefulUntil))
}

// TestIntake_EventsGoToTheKnownRun: the second event names the run that took the first; the third finds that it has ended.
func TestIntake_EventsGoToTheKnownRun(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	var asked []string
	ended := false
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(
		func(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
			asked = append(asked, o.RunID)
			if ended {
				return nil, serviceerror.NewNotFound("workflow execution already completed")
			}
			return handle(nil), nil
		})
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		asked = append(asked, "started: "+o.UpdateOptions.RunID)
		return handle(nil), nil
	})
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	ended = true
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, []string{"started: ", "run-1", "run-1", "started: "}, asked)
}

// TestIntake_SecondTryUsesNothingCached: whatever the known run has answered but an acceptance, the next try asks whichever
// runs. The first version asked the aborted Update of the same run for ever.
func TestIntake_SecondTryUsesNothingCached(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]error{
		"aborted":   serviceerror.NewAborted("workflow update was aborted"),
		"timeout":   context.DeadlineExceeded,
		"away":      serviceerror.NewUnavailable("away"),
		"surprise":  errors.New("surprise"),
		"exhausted": serviceerror.NewResourceExhausted(0, "too many"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			var asked []string
			accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				asked = append(asked, "any")
				return handle(nil), nil
			})
			c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(
				func(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
					asked = append(asked, o.RunID)
					return nil, failed
				})
			running(c, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
			first, second := requested("shop"), requested("shop")
			first.Sequence, second.Sequence = 1, 2
			verdict(t, in.Handle(t.Context(), first), "", false)
			verdict(t, in.Handle(t.Context(), second), "", true)
			verdict(t, in.Handle(t.Context(), second), "", false)
			require.Equal(t, []string{"any", "run-1", "any"}, asked)
		})
	}
}

// running sets the status of the latest run of every conversation.
func running(c *mocks.Client, status enumspb.WorkflowExecutionStatus) {
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: status, Execution: &commonpb.WorkflowExecution{WorkflowId: "w", RunId: "latest"},
		}}, nil).Maybe()
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
	c.On("WorkflowService").Return(updates{}).Maybe()
}

// noneOpen lets no conversation have an open run.
func noneOpen(c *mocks.Client) {
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewNotFound("no such run")).Maybe()
}

// TestIntake_BusyRunIsAskedAgain: a run that is about to continue as new takes the event a moment later.
func TestIntake_BusyRunIsAskedAgain(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	asked := 0
	accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if asked++; asked < 3 {
			return handle(temporal.NewApplicationError("wait", step.RejectedBusy)), nil
		}
		return handle(nil), nil
	})
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, 3, asked)
}

// An event's id may be any text: what is made of it for Temporal fits there.
func TestIntake_EventIDIsEncoded(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"long": strings.Repeat("日", 250), "spaces": "a b", "dot": "a.b", "accents": "größe", "astral": "😀",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			var updateID, workflowID string
			accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				updateID = o.UpdateOptions.UpdateID
				return handle(nil), nil
			})
			c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
				options, _ := args[1].(client.StartWorkflowOptions)
				workflowID = options.ID
			}).Return(nil, nil)
			verdict(t, in.Handle(t.Context(), message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)), "", false)
			require.Regexp(t, `^[!-~]{1,256}$`, updateID)
			verdict(t, in.Handle(t.Context(), message("free", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)), "", false)
			require.Regexp(t, `^step/default/free/c-42/[!-~]{1,256}$`, workflowID)
		})
	}
}

func TestIntake_UnknownStepTravelsToItsReply(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	var d step.Delivery
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		d = delivered(o.UpdateOptions)
		return handle(nil), nil
	})
	verdict(t, in.Handle(t.Context(), message("shop", schemas.TypeStepRequested, `{"step":"UNKNOWN"}`)), "", false)
	require.Nil(t, d.Plan)
	require.Equal(t, fault.UnknownStep, d.Refused.Kind)
}

// TestHandle_Outcomes holds what becomes of an event, by Temporal's answer.
func TestHandle_Outcomes(t *testing.T) {
	t.Parallel()
	refused := func(kind string) error { return temporal.NewApplicationError("no", kind) }
	cases := map[string]struct {
		rpc     error // of the call
		outcome error // of the Update
		letter  fault.Kind
		again   bool
	}{
		"accepted":            {},
		"still running":       {outcome: context.Canceled},
		"known already":       {outcome: refused(step.RejectedDuplicate)},
		"too many unanswered": {outcome: refused(step.RejectedLimit), again: true},
		"entities too large":  {outcome: refused(step.RejectedTooLarge), letter: fault.TooLarge},
		"server away":         {rpc: serviceerror.NewUnavailable("away"), again: true},
		"too many in flight":  {rpc: serviceerror.NewResourceExhausted(0, "busy"), again: true},
		"time is over":        {rpc: context.DeadlineExceeded, again: true},
		"called invalid":      {rpc: serviceerror.NewInvalidArgument("search attribute"), again: true},
		"an unknown surprise": {rpc: errors.New("surprise"), again: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				return handle(tc.outcome), tc.rpc
			})
			verdict(t, in.Handle(t.Context(), requested("shop")), tc.letter, tc.again)
		})
	}
}

func TestIntake_ClosingRunIsTriedAgain(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	gone := serviceerror.NewNotFound("workflow execution already completed")
	accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) { return nil, gone })
	verdict(t, in.Handle(t.Context(), requested("shop")), "", true)
}

// TestIntake_ClosedRunIsReplaced: an event that was accepted by a run that closed is handed to a new one, once.
func TestIntake_ClosedRunIsReplaced(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(
		describedRun(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED), nil)
	lost := temporal.NewApplicationError("gone", "AcceptedUpdateCompletedWorkflow")
	var sent []string
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if sent = append(sent, o.UpdateOptions.UpdateID); len(sent) == 1 {
			return handle(lost), nil
		}
		return handle(nil), nil
	})
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, []string{"e1", "e1.again"}, sent)
}

func verdict(t *testing.T, o eventreader.Outcome, letter fault.Kind, again bool) {
	t.Helper()
	require.Equal(t, letter, o.Reason())
	switch {
	case letter != "":
		require.Equal(t, "dead_letter", o.Result())
	case again:
		require.Equal(t, "retry", o.Result())
	default:
		require.Equal(t, "ack", o.Result())
	}
}

func TestIntake_UnorderedStep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		again bool
	}{
		"started":         {},
		"started already": {err: serviceerror.NewWorkflowExecutionAlreadyStarted("again", "", "")},
		"server away":     {err: serviceerror.NewUnavailable("away"), again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			var start client.StartWorkflowOptions
			c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
				start, _ = args[1].(client.StartWorkflowOptions)
			}).Return(nil, tc.err)
			verdict(t, in.Handle(t.Context(), requested("free")), "", tc.again)
			require.Equal(t, "step/default/free/c-42/e1", start.ID)
		})
	}
}
