package intake_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/schemas"
)

// pauses are the paused bots of a test.
type pauses map[schemas.BotID]context.Context

func (p pauses) Paused(id schemas.BotID) context.Context { return p[id] }

const pausedShop = `bot: shop
base_urls: {test: "https://shop.example"}
bot_break: {default: "Sorry."}
bot_paused: {default: "We are back soon.", de: "Wir sind bald wieder da."}
steps: {ORDER: {webhook: {path: /orders}}}
`

// paused is an intake whose bot pauses, and what it publishes.
func paused(t *testing.T) (*intake.Intake, *intaketest.Replies) {
	t.Helper()
	in, _ := intaketest.Setup(t) // a call of Temporal would fail the test
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(pausedShop), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	sent := &intaketest.Replies{}
	intaketest.SetBots(in, set)
	in.Answers.Replies = sent
	in.Pauses = pauses{schemas.BotID{Tenant: "default", Bot: "shop"}: t.Context()}
	return in, sent
}

// TestHandle_PausedTextOnce: a starter that takes over a partition publishes the text again only where it is not stored. The
// stream has forgotten its id after 15 minutes.
func TestHandle_PausedTextOnce(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")
	for name, tc := range map[string]struct {
		change    func(*eventreader.Message)
		stored    string // type of a reply to the event
		published int
	}{
		"new":                        {func(*eventreader.Message) {}, "", 1},
		"taken over":                 {func(m *eventreader.Message) { m.TakenOver = true }, "", 1},
		"taken over with its text":   {func(m *eventreader.Message) { m.TakenOver = true }, schemas.TypeStepProgress, 0},
		"redelivered with its reply": {func(m *eventreader.Message) { m.Deliveries = 2 }, schemas.TypeStepReplied, 0},
		"waited with its text": {
			func(m *eventreader.Message) { m.Received = time.Now().Add(-time.Hour) }, schemas.TypeStepProgress, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, sent := paused(t)
			if tc.stored != "" {
				reply, err := schemas.NewReply(key, "e1", tc.stored, time.Now(), struct{}{})
				require.NoError(t, err)
				sent.Published = append(sent.Published, reply)
			}
			before, m := len(sent.Published), intaketest.Requested("shop")
			tc.change(m)
			require.True(t, in.Handle(t.Context(), m).Held())
			require.Len(t, sent.Published, before+tc.published)
		})
	}
}

func TestHandle_PausedBotsEventWaits(t *testing.T) {
	t.Parallel()
	in, sent := paused(t)

	german := intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER","user":{"language":"de-AT"}}`)
	for range 2 {
		require.True(t, in.Handle(t.Context(), german).Held())
	}
	require.Len(t, sent.Published, 2)
	require.Equal(t, sent.Published[0].ID, sent.Published[1].ID, "NATS stores it once")
	require.Equal(t, schemas.TypeStepProgress, sent.Published[0].Type)
	require.Contains(t, string(sent.Published[0].Data), "Wir sind bald wieder da.")

	for _, m := range []*eventreader.Message{
		intaketest.Message("shop", schemas.TypeEntitiesCollected, `{"entities":{}}`), intaketest.Message("shop", schemas.TypeStepRequested, `{}`),
	} {
		require.True(t, in.Handle(t.Context(), m).Held())
	}
	require.Len(t, sent.Published, 2, "only a step makes a user wait")

	sent.Fail = errors.New("nats is away")
	o := in.Handle(t.Context(), german)
	require.False(t, o.Held())
	require.ErrorIs(t, o.Err(), sent.Fail, "the text is published before the event waits")
}

// TestHandle_PausedUntilLatestUsefulMoment: an event does not wait for the end of a pause beyond its latest useful moment: its
// conversation rejects it a moment before, because JetStream deletes one with a Nats-TTL then.
func TestHandle_PausedUntilLatestUsefulMoment(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	for name, until := range map[string]func(*eventreader.Message, time.Time){
		"Nats-TTL": func(m *eventreader.Message, at time.Time) { m.Expires = at },
		"expirytime": func(m *eventreader.Message, at time.Time) {
			m.Data = []byte(strings.Replace(string(m.Data), `{`, `{"expirytime":"`+at.Format(time.RFC3339Nano)+`",`, 1))
		},
	} {
		for _, sent := range []string{schemas.TypeStepRequested, schemas.TypeEntitiesCollected, schemas.TypeConversationEnded} {
			t.Run(name+" of "+sent, func(t *testing.T) {
				t.Parallel()
				in, _, taken, _ := behindOthers(t)
				in.Answers.Replies = &intaketest.Replies{}
				in.Pauses = pauses{shop: t.Context()}

				m, at := intaketest.Message("shop", sent, `{"step":"ORDER","entities":{}}`), time.Now().Add(time.Hour)
				until(m, at)
				held := in.Handle(t.Context(), m)
				require.NoError(t, resting(t, held).Err())
				end := held.Latest()
				require.True(t, end.Before(at))
				require.WithinDuration(t, at, end, time.Minute)
				require.Empty(t, *taken)

				m = intaketest.Message("shop", sent, `{"step":"ORDER","entities":{}}`)
				until(m, time.Now().Add(10*time.Millisecond))
				require.False(t, in.Handle(t.Context(), m).Held())
				require.True(t, (*taken)[0].UsefulUntil.Before(time.Now()), "the conversation rejects it")
			})
		}
	}
}
