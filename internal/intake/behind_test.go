package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// otherStarters is how long an event waits for the bot files of this starter.
type otherStarters struct {
	wait     time.Duration
	err      error
	answerBy *time.Time // of the latest event
}

func (o *otherStarters) Wait(
	_ context.Context, _ *bot.Set, _ schemas.BotID, _ time.Time, answerBy *time.Time,
) (time.Duration, error) {
	o.answerBy = answerBy
	return o.wait, o.err
}

// behindOthers is an intake with bot files that are older than those of another starter.
func behindOthers(t *testing.T) (in *intake.Intake, others *otherStarters, taken *[]step.Delivery, load func(text string)) {
	t.Helper()
	in, c := intaketest.Setup(t)
	taken = &[]step.Delivery{}
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil).Maybe()
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		sent, _ := args[1].(client.UpdateWithStartWorkflowOptions)
		*taken = append(*taken, intaketest.Delivered(sent.UpdateOptions))
	}).Return(intaketest.UpdateHandle(nil), nil).Maybe()
	others = &otherStarters{wait: time.Hour}
	in.Rollout = others
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.yaml")
	require.NoError(t, os.WriteFile(file, []byte(intaketest.Ordered), 0o600))
	files, err := bot.NewStore(dir, bot.Options{Dialects: dialects.Specs()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	in.Bots, in.Dispatcher.Bots = files, files
	return in, others, taken, func(text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.NoError(t, files.Reload())
	}
}

// resting returns the context for whose end an event waits.
func resting(t *testing.T, o eventreader.Outcome) context.Context {
	t.Helper()
	require.True(t, o.Held(), "%s", o.Err())
	return o.Until()
}

// TestHandle_StepOfNewerFileWaits: a conversation is served by a starter that does not have the file yet with which another one
// has accepted the event. The event is served when the file is there.
func TestHandle_StepOfNewerFileWaits(t *testing.T) {
	t.Parallel()
	in, _, taken, load := behindOthers(t)
	m := intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"REFUND"}`)
	over := resting(t, in.Handle(t.Context(), m))
	require.NoError(t, over.Err())
	require.Empty(t, *taken)

	load(strings.Replace(intaketest.Ordered, "steps: {", "steps: {REFUND: {webhook: {path: /refunds}}, ", 1))
	require.Eventually(t, func() bool { return over.Err() != nil }, time.Minute, time.Millisecond)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, "REFUND", (*taken)[0].Plan.Step)
}

// TestHandle_BotOrAdapterOfNewerFileWaits: what else an event names that an older file does not have.
func TestHandle_BotOrAdapterOfNewerFileWaits(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*eventreader.Message{
		"bot":         intaketest.Requested("late"),
		"its message": intaketest.Message("late", schemas.TypeEntitiesCollected, `{"entities":{}}`),
		"adapter":     intaketest.Message("shop", schemas.TypeMessageReceived, `{"adapter":"desk","message":{"type":"text","text":"hi"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, others, taken, _ := behindOthers(t)
			resting(t, in.Handle(t.Context(), m))
			require.Empty(t, *taken)
			others.wait = 0
			o := in.Handle(t.Context(), m)
			require.False(t, o.Retried(), "a mistake is rejected at once")
			if name != "adapter" {
				require.Equal(t, fault.UnknownBot, o.Reason())
			}
		})
	}
}

// TestHandle_StartersNotKnown: nothing is rejected before it is known whether another starter may have it.
func TestHandle_StartersNotKnown(t *testing.T) {
	t.Parallel()
	in, others, _, _ := behindOthers(t)
	others.err = errors.New("nats is away")
	o := in.Handle(t.Context(), intaketest.Requested("late"))
	require.ErrorIs(t, o.Err(), others.err)
	require.True(t, o.Retried())
	require.False(t, o.Held())
}

// TestHandle_WaitEnds: the wait ends without a newer file, too.
func TestHandle_WaitEnds(t *testing.T) {
	t.Parallel()
	in, others, _, _ := behindOthers(t)
	others.wait = time.Millisecond
	over := resting(t, in.Handle(t.Context(), intaketest.Requested("late")))
	require.Eventually(t, func() bool { return over.Err() != nil }, time.Minute, time.Millisecond)
}

// TestHandle_KnownNamesDoNotWait: what is wrong with an event itself, and what the bot and the adapter that it goes to do not
// serve, is rejected whatever files there are.
func TestHandle_KnownNamesDoNotWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, eventType, data string
		want                  fault.Kind
	}{
		"invalid parameters": {intaketest.Ordered, schemas.TypeMessageReceived,
			`{"message":{"type":"text","text":"hi"},"params":{"adapter":7,"conversationClientId":7}}`, fault.BadEvent},
		"a message of another type": {helpdesk, schemas.TypeMessageReceived, `{"message":{"type":"image"}}`, fault.Config},
		"its type, to a named adapter": {helpdesk, schemas.TypeMessageReceived,
			`{"adapter":"robot","message":{"type":"image"}}`, fault.Config},
		"a named adapter without the endpoint": {helpdesk, schemas.TypeConversationEvent,
			`{"adapter":"robot","event":{"type":"x"}}`, fault.Config},
		"a bot without the endpoint": {crowd, schemas.TypeConversationEvent, `{"event":{"type":"x"}}`, fault.Config},
		"several adapters":           {crowd, schemas.TypeMessageReceived, `{"message":{"type":"text","text":"hi"}}`, fault.Config},
		"a bot without adapters": {intaketest.Ordered, schemas.TypeMessageReceived,
			`{"message":{"type":"text","text":"hi"}}`, fault.Config},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _, taken, load := behindOthers(t)
			_, file, _ := strings.Cut(c.file, "\n")
			load("bot: shop\n" + file)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message("shop", c.eventType, c.data)), "", false)
			require.Equal(t, c.want, (*taken)[0].Refused.Kind)
		})
	}
}

// TestHandle_WaitKnowsLatestUsefulMoment: the wait is bounded by the header of the message, and by the event where that can be
// read.
func TestHandle_WaitKnowsLatestUsefulMoment(t *testing.T) {
	t.Parallel()
	in, others, _, _ := behindOthers(t)
	until := time.Now().Add(time.Hour)
	for _, m := range []*eventreader.Message{
		intaketest.Requested("late"), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"REFUND"}`),
	} {
		require.True(t, in.Handle(t.Context(), m).Held())
		require.Nil(t, others.answerBy)
		m.Expires = until
		require.True(t, in.Handle(t.Context(), m).Held())
		require.NotNil(t, others.answerBy)
		require.True(t, others.answerBy.Before(until), "JetStream deletes it at that moment")
	}
	m := intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"REFUND"}`)
	m.Data = []byte(strings.Replace(string(m.Data), `{`, `{"expirytime":"2030-01-02T03:04:05Z",`, 1))
	require.True(t, in.Handle(t.Context(), m).Held())
	require.NotNil(t, others.answerBy)
	require.Equal(t, 2030, others.answerBy.Year())
}

// TestHandle_WaitingEventsBounded: a flood of unknown names fills the bound of its tenant, and what comes above it is rejected.
// Tenants without a bot share one.
func TestHandle_WaitingEventsBounded(t *testing.T) {
	t.Parallel()
	in, _, _, load := behindOthers(t)
	of := func(tenant string) *eventreader.Message {
		m := intaketest.Message("late", schemas.TypeEntitiesCollected, `{}`)
		m.Tenant = tenant
		return m
	}
	for n := range 1024 {
		require.True(t, in.Handle(t.Context(), of([]string{"made-up", "invented"}[n%2])).Held())
	}
	require.Equal(t, fault.UnknownBot, in.Handle(t.Context(), of("another")).Reason())
	require.True(t, in.Handle(t.Context(), of("default")).Held(), "a tenant with bots has a bound of its own")

	load(intaketest.Ordered)
	require.Eventually(t, func() bool { return in.Handle(t.Context(), of("another")).Held() }, time.Minute, time.Millisecond,
		"their wait is over")
}
