package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestPublishReply_ProgressAfterTheReply: a workflow task that is repeated after its worker was lost may find the passed soft
// deadline and the answer together, when the lost worker has published the reply.
func TestPublishReply_ProgressAfterTheReply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replied   string // the event that a stored reply answers
		repeated  bool   // the step is repeated by an operator
		lost      error
		published int
	}{
		"no reply":                 {"", false, nil, 1},
		"reply to the event":       {"e-1", false, nil, 0},
		"reply to another event":   {"e-0", false, nil, 1},
		"replies cannot be looked": {"", false, errors.New("away"), 1},
		"repeated step":            {"", true, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			of := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")
			published := 0
			b.publish = func(schemas.Reply) error { published++; return nil }
			b.lost = c.lost
			if c.replied != "" {
				b.found = &schemas.Reply{ID: schemas.ReplyID(of, c.replied, schemas.TypeStepReplied)}
			}
			event := schemas.Event{ID: "e-1", Subject: of.Conversation}
			if c.repeated {
				event = event.Repeat(1)
			}
			in, err := step.Address{ConversationKey: of, Event: event}.Reply(schemas.TypeStepProgress, time.Now(),
				schemas.StepProgress{EventID: event.ID, Step: "SLOW"})
			require.NoError(t, err)
			_, err = b.ExecuteActivity(step.ActivityPublish, in)
			require.NoError(t, err)
			require.Equal(t, c.published, published)
		})
	}
}
