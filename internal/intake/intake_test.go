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
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
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
	set, err := bot.Load(dir, bot.Options{})
	require.NoError(t, err)
	c := mocks.NewClient(t)
	return &intake.Intake{Temporal: c, Bots: bots{set}, Queue: step.QueueMain, Log: slog.New(slog.DiscardHandler)}, c
}

func message(botName, eventType, data string, id ...string) *eventreader.Message {
	return &eventreader.Message{
		BotID: schemas.BotID{Tenant: "default", Bot: botName}, Conversation: "c-42", Header: nats.Header{}, Received: time.Now(),
		Data: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":%q,"time":"2026-11-20T12:00:00Z",`+
			`"subject":"c-42","data":%s}`, append(id, "e1")[0], eventType, data),
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

func TestEventBecomesAnUpdate(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	m := requested("shop")
	m.Header.Set("traceparent", "00-1-2-01")
	m.Expires = time.Now().Add(time.Minute)
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewNotFound("no such run"))
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
	require.Equal(t, step.State{
		ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), IdleTimeout: bot.Duration(3 * time.Hour),
		EventsPerRun: step.EventsPerRun,
	}, state)
	require.Equal(t, "step.requested", sent.UpdateOptions.UpdateName)
	require.Equal(t, "e1", sent.UpdateOptions.UpdateID)
	require.Equal(t, client.WorkflowUpdateStageAccepted, sent.UpdateOptions.WaitForStage)
	d, ok := sent.UpdateOptions.Args[0].(step.Delivery)
	require.True(t, ok)
	require.Equal(t, "https://shop.example/orders", d.Plan.Webhook.URL)
	require.Equal(t, "00-1-2-01", d.Event.TraceParent)
	require.True(t, m.Expires.Equal(*d.UsefulUntil))
}

// TestEventsGoToTheRunThatIsKnown: the second event names the run that took the first; the third finds that it has ended.
func TestEventsGoToTheRunThatIsKnown(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
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
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil)
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		sent, _ := args[1].(client.UpdateWithStartWorkflowOptions)
		asked = append(asked, "started: "+sent.UpdateOptions.RunID)
	}).Return(handle(nil), nil)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	ended = true
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, []string{"", "run-1", "run-1", "started: "}, asked)
}

func TestUnknownStepTravelsToItsReply(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	var d step.Delivery
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		options, _ := args[1].(client.UpdateWorkflowOptions)
		d, _ = options.Args[0].(step.Delivery)
	}).Return(handle(nil), nil) // a running conversation costs one request
	verdict(t, in.Handle(t.Context(), message("shop", schemas.TypeStepRequested, `{"step":"NOBODY"}`)), "", false)
	require.Nil(t, d.Plan)
	require.Equal(t, fault.UnknownStep, d.Refused.Kind)
}

// TestVerdicts holds what becomes of an event, by what Temporal says.
func TestVerdicts(t *testing.T) {
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
			c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(handle(tc.outcome), tc.rpc)
			verdict(t, in.Handle(t.Context(), requested("shop")), tc.letter, tc.again)
		})
	}
}

func TestClosingRunIsTriedAgain(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	gone := serviceerror.NewNotFound("workflow execution already completed")
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, gone)
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil)
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(nil, gone)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", true)
}

// TestTerminatedRunIsReplaced: an event that was accepted by a run that is gone is handed to a new one, once.
func TestTerminatedRunIsReplaced(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	lost := temporal.NewApplicationError("gone", "AcceptedUpdateCompletedWorkflow")
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(handle(lost), nil)
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil)
	var sent client.UpdateWithStartWorkflowOptions
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		sent, _ = args[1].(client.UpdateWithStartWorkflowOptions)
	}).Return(handle(nil), nil)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, "e1/again", sent.UpdateOptions.UpdateID)
}

func TestInvalidForTooLongIsADeadLetter(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewInvalidArgument("no"))
	m := requested("shop")
	m.Received = time.Now().Add(-time.Hour)
	verdict(t, in.Handle(t.Context(), m), fault.Config, false)
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

func TestEventsThatBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	elsewhere := requested("shop")
	elsewhere.Conversation = "c-43"
	for name, tc := range map[string]struct {
		message *eventreader.Message
		letter  fault.Kind
	}{
		"no event":               {&eventreader.Message{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Data: []byte("{")}, fault.BadEvent},
		"other subject":          {elsewhere, fault.BadEvent},
		"unknown bot":            {requested("nobody"), fault.UnknownBot},
		"entities without lane":  {message("free", schemas.TypeEntitiesCollected, `{"entities":{}}`), fault.BadEvent},
		"end without a lane":     {message("free", schemas.TypeConversationEnded, `{}`), fault.BadEvent},
		"id that is too long":    {message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, strings.Repeat("日", 250)), fault.BadEvent},
		"unknown type of events": {message("shop", "hookturn.step.invented", `{}`), fault.BadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _ := setup(t)
			verdict(t, in.Handle(t.Context(), tc.message), tc.letter, false)
		})
	}
}

func TestStepOnItsOwn(t *testing.T) {
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
