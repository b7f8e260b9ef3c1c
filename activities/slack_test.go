package activities_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// stalled is a NATS that answers nothing but the reads before a request and the publishing of a reply, which it has already.
type stalled struct {
	*bundle

	before  schemas.Reply
	reached []string // in the order in which they were tried
}

func (s *stalled) hang(ctx context.Context, what string) error {
	s.mu.Lock()
	s.reached = append(s.reached, what)
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (s *stalled) Find(ctx context.Context, _ schemas.ConversationKey, _ string, _ time.Time) (*schemas.Reply, error) {
	return nil, s.hang(ctx, "find")
}

func (s *stalled) Update(ctx context.Context, _, _ string, _ store.UserUpdate) (store.UserDetails, error) {
	return store.UserDetails{}, s.hang(ctx, "keep")
}

func (s *stalled) Undo(ctx context.Context, _, _, _ string, _ map[string]json.RawMessage) error {
	return s.hang(ctx, "undo")
}

func (s *stalled) Publish(ctx context.Context, _ schemas.BotID, r schemas.Reply) (*schemas.Reply, error) {
	if r.Type == schemas.TypeStepReplied {
		until, _ := ctx.Deadline()
		<-time.After(time.Until(until) - time.Millisecond)
		return &s.before, nil
	}
	return nil, s.hang(ctx, "progress")
}

func (s *stalled) Put(context.Context, schemas.ConversationKey, store.Session) (bool, error) {
	return true, nil
}

// sessionsOf are the sessions of a stalled NATS, whose other Get is that of the users.
type sessionsOf struct{ *stalled }

func (s sessionsOf) Get(ctx context.Context, _ schemas.ConversationKey) (store.Session, error) {
	return store.Session{}, s.hang(ctx, "announce")
}

// TestCallWebhook_SlackCoversItsParts: a first attempt whose endpoint uses its whole time, and each of whose other parts
// uses its whole time as well, ends before Temporal ends it: the answer of the endpoint is not lost.
func TestCallWebhook_SlackCoversItsParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := b.input(t, "PLAIN")
		w := *in.Plan.Webhook
		in.Plan.Webhook = &w
		w.Timeout, w.ProgressAfter = bot.Duration(time.Minute), w.AttemptTimeout+bot.Duration(step.FindTimeout-time.Second)
		in.Left, in.Accepted, in.Reply, in.Notify = time.Minute, time.Now(), true, true
		in.Event.Type, in.Round, in.Event.Subject = schemas.TypeConversationHandover, "e0", "c-42"
		b.answer = func(int) (*egress.Response, error) {
			<-time.After(w.AttemptTimeout.D() - time.Millisecond)
			return response(http.StatusOK, `{"response":["ok"],"user_details":{"shoe":"43"}}`), nil
		}
		data, err := schemas.Marshal(schemas.StepReplied{EventID: in.Event.ID, Outcome: schemas.OutcomeSuccess})
		require.NoError(t, err)
		nats := &stalled{bundle: b, before: schemas.Reply{Type: schemas.TypeStepReplied, Data: data}}
		b.activities.Users, b.activities.Publisher, b.activities.Sessions = nats, nats, sessionsOf{nats}
		b.activities.MayHaveSessions = func(schemas.BotID) bool { return true }
		b.activities.RunReassigned("default-test-run-id")
		b.local = true
		began := time.Now()
		result, err := b.call(in)
		require.NoError(t, err)
		require.True(t, result.Success)
		took := time.Since(began)
		require.Equal(t, []string{"find", "find", "progress", "keep", "announce", "undo"}, nats.reached)
		require.Less(t, took, w.AttemptTimeout.D()+step.AttemptSlack)
		require.InDelta(t, (w.AttemptTimeout.D() + step.AttemptSlack).Seconds(), took.Seconds(), 1.1, "no part is counted twice")
	})
}
