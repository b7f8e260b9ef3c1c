package cli_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/schemas"
)

// conversing runs a reader that answers as a conversation with one step does: "WAIT" waits for size and colour. It answers
// under the ids and the event ids of a conversation's workflow.
func (n nats) conversing(t *testing.T) {
	t.Helper()
	var waiting, missing = "", []string{"size", "colour"}
	n.reading(t, func(ctx context.Context, m *eventreader.Message) error {
		e, err := schemas.DecodeEvent(m.Data)
		if err != nil {
			return err
		}
		key := m.WithConversation(e.Subject)
		switch e.Type {
		case schemas.TypeConversationEnded:
			return n.reply(ctx, key, e.ID, schemas.TypeConversationClosed, schemas.ConversationClosed{Reason: e.Data.Reason})
		case schemas.TypeStepRequested:
			waiting = e.ID
		case schemas.TypeEntitiesCollected:
			if _, rejected := e.Data.Entities["rejected"]; rejected {
				return n.reply(ctx, key, e.ID, schemas.TypeStepReplied, schemas.StepReplied{
					EventID: e.ID, Outcome: schemas.OutcomeRejected, Error: &schemas.Error{Kind: "expired", Message: "too late"},
				})
			}
			missing = missing[len(e.Data.Entities):]
		}
		if len(missing) > 0 {
			return n.reply(ctx, key, e.ID, schemas.TypeStepWaiting,
				schemas.StepWaiting{EventID: waiting, Step: "WAIT", Missing: missing})
		}
		return n.replied(ctx, key, waiting)
	})
}

// TestSend_WaitFollowsItsOwnHints sends what the hint of each reply recommends, and waits for the reply of each event.
func TestSend_WaitFollowsItsOwnHints(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.conversing(t)
	entity := func(name string) string {
		return `{"entities":{"` + name + `":[{"detection":"message","original_text":"8","entity_value":8}]}}`
	}
	for _, c := range []struct {
		id, eventType, data string
		status              int
		result, about       string // event_id of the last reply
	}{
		{"e-1", schemas.TypeStepRequested, `{"step":"WAIT"}`, 6, "waiting", "e-1"},
		{"e-2", schemas.TypeEntitiesCollected, entity("rejected"), 4, "rejected", "e-2"},
		{"e-3", schemas.TypeEntitiesCollected, entity("size"), 6, "waiting", "e-1"},
		{"e-4", schemas.TypeEntitiesCollected, entity("colour"), 0, "replied", "e-1"},
		{"e-4", schemas.TypeEntitiesCollected, entity("colour"), 0, "replied", "e-1"}, // a duplicate gets what is stored
		{"e-5", schemas.TypeConversationEnded, `{"reason":"done"}`, 0, "replied", ""},
		{"e-5", schemas.TypeConversationEnded, `{"reason":"done"}`, 0, "replied", ""},
	} {
		w := &world{env: n.at()}
		require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "--conversation", "c-1",
			"--id", c.id, "--type", c.eventType, "--data", c.data, "--wait", "1h", "--output", "json"), "%s: %s", c.id, &w.err)
		var document struct {
			Result  string
			Replies []struct {
				Data struct {
					EventID string `json:"event_id"`
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(w.out.String()), &document), &w.out)
		require.Equal(t, c.result, document.Result, c.id)
		require.Equal(t, c.about, document.Replies[len(document.Replies)-1].Data.EventID, c.id)
	}
}

func TestSend_WaitWithoutAStepThatWaits(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	w := &world{env: n.at()}
	require.Equal(t, 1, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "--conversation", "c-1",
		"--type", schemas.TypeEntitiesCollected, "--data", `{"entities":{}}`, "--wait", "1s"))
	require.Contains(t, w.err.String(), "no reply within 1s: the conversation has no step that waits for entities: request the step")
}

// TestSend_WaitBeginsWhenTheEventIsStored sends with a wait that is over before anything can be read.
func TestSend_WaitBeginsWhenTheEventIsStored(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	w := &world{env: n.at()}
	require.Equal(t, 1, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "--conversation", "c-1", "--id", "e-1",
		"--type", schemas.TypeEntitiesCollected, "--data", `{"entities":{}}`, "--wait", "1ns"))
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", w.out.String())
	require.Contains(t, w.err.String(), "no reply within 1ns")
}
