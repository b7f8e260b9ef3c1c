package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// published collects what is published, in order. Each publishing of a type can be held, or can fail.
type published struct {
	mu    sync.Mutex
	types []string
	all   []schemas.Reply
	each  func(ctx context.Context, replyType string) error // nil: all succeed
}

func (p *published) Publish(ctx context.Context, _ schemas.BotID, r schemas.Reply) (*schemas.Reply, error) {
	if p.each != nil {
		if err := p.each(ctx, r.Type); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.types = append(p.types, r.Type)
	p.all = append(p.all, r)
	return nil, nil
}

func (p *published) Find(context.Context, schemas.ConversationKey, string, time.Time) (*schemas.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.all {
		if r.Type == schemas.TypeStepReplied {
			return &r, nil
		}
	}
	return nil, nil
}

func (p *published) has(replyType string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.types, replyType)
}

// softInput is a first attempt that is to publish everything that the engine reads, with a soft deadline.
func softInput(t *testing.T, b *bundle, soft time.Duration) step.WebhookInput {
	t.Helper()
	in := b.input(t, "PLAIN")
	hook := *in.Plan.Webhook
	hook.ProgressAfter, hook.ProgressMessage = bot.Duration(soft), bot.Texts{"default": "One moment.", "hi": "Ek minute."}
	in.Plan.Webhook = &hook
	in.Event.Subject, in.User.Language = "c-42", "hi"
	in.Reply, in.Notify, in.CloseEvent = true, true, "e-last"
	return in
}

func setupSoft(t *testing.T) (*bundle, *published) {
	t.Helper()
	b, p := setup(t), &published{}
	b.local, b.activities.Publisher = true, p
	return b, p
}

func TestSoftDeadline_PassesDuringTheAttempt(t *testing.T) {
	t.Parallel()
	b, p := setupSoft(t)
	b.hold = func(context.Context) error {
		require.Eventually(t, func() bool { return p.has(schemas.TypeStepProgress) }, time.Minute, time.Millisecond)
		return nil
	}
	in := softInput(t, b, time.Millisecond)
	result, err := b.call(in)
	require.NoError(t, err)
	require.True(t, result.Notified)
	require.Equal(t, []string{schemas.TypeStepProgress, schemas.TypeStepReplied}, p.types)
	key := in.Plan.WithConversation("c-42")
	require.Equal(t, schemas.ReplyID(key, in.Event.ID, schemas.TypeStepProgress), p.all[0].ID)
	var data schemas.StepProgress
	require.NoError(t, json.Unmarshal(p.all[0].Data, &data))
	require.Equal(t, []schemas.Message{schemas.Text("Ek minute.")}, data.Messages)
	require.Equal(t, in.Event.ID, data.EventID)
	require.NotEmpty(t, data.Workflow.ID)
}

func TestSoftDeadline_NotPublished(t *testing.T) {
	t.Parallel()
	const soft = 5 * time.Second
	for name, c := range map[string]struct {
		takes    time.Duration
		change   func(*step.WebhookInput)
		notified bool // the result reports that there is nothing left to publish
	}{
		"answer before it":        {soft - time.Millisecond, func(*step.WebhookInput) {}, false},
		"watched by the workflow": {2 * soft, func(in *step.WebhookInput) { in.Notify = false }, false},
		"published before":        {2 * soft, func(in *step.WebhookInput) { in.Progress.Notified = true }, true},
		"repeated step":           {2 * soft, func(in *step.WebhookInput) { in.Event = in.Event.Repeat(1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, p := setupSoft(t)
				b.local = false // a local activity of the test environment has a timeout of its own
				b.hold = func(context.Context) error { <-time.After(c.takes); return nil }
				in := softInput(t, b, soft)
				c.change(&in)
				result, err := b.call(in)
				require.NoError(t, err)
				require.Equal(t, c.notified, result.Notified)
				require.NotContains(t, p.types, schemas.TypeStepProgress)
			})
		})
	}
}

// TestSoftDeadline_MessageOnItsWay: the reply waits for a progress message that NATS is about to acknowledge, no longer than
// NATS gets for a reply.
func TestSoftDeadline_MessageOnItsWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes    time.Duration // what NATS needs to acknowledge the message
		notified bool
		want     []string
	}{
		"acknowledged soon": {400 * time.Millisecond, true, []string{schemas.TypeStepProgress, schemas.TypeStepReplied}},
		// It is given up before the reply, so that it cannot follow it.
		"slow NATS": {600 * time.Millisecond, false, []string{schemas.TypeStepReplied}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, p := setupSoft(t)
				b.local = false
				p.each = func(ctx context.Context, replyType string) error {
					if replyType != schemas.TypeStepProgress {
						return nil
					}
					select {
					case <-time.After(c.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				const soft = 5 * time.Second
				b.hold = func(context.Context) error { <-time.After(soft + time.Millisecond); return nil }
				result, err := b.call(softInput(t, b, soft))
				require.NoError(t, err)
				require.NotEmpty(t, result.ReplyID)
				require.Equal(t, c.notified, result.Notified)
				require.Equal(t, c.want, p.types)
			})
		})
	}
}

// TestSoftDeadline_ReplyOfAnotherWorker: a worker that was stopped while another one took its step over finds that the step
// has its reply.
func TestSoftDeadline_ReplyOfAnotherWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, p := setupSoft(t)
		b.local = false
		b.hold = func(context.Context) error {
			p.mu.Lock()
			p.all = append(p.all, schemas.Reply{Type: schemas.TypeStepReplied})
			p.mu.Unlock()
			<-time.After(10 * time.Second)
			return nil
		}
		_, err := b.call(softInput(t, b, 5*time.Second))
		require.NoError(t, err)
		require.NotContains(t, p.types, schemas.TypeStepProgress)
	})
}

// TestSoftDeadline_RepetitionJoins: a repeated workflow task runs the local activity again while its attempt is under way.
func TestSoftDeadline_RepetitionJoins(t *testing.T) {
	t.Parallel()
	b, p := setupSoft(t)
	h := b.holdRequests()
	in := softInput(t, b, time.Millisecond)
	ends := make(chan step.WebhookResult, 2)
	call := func(b *bundle) {
		result, err := b.call(in)
		require.NoError(t, err)
		ends <- result
	}
	go call(b)
	<-h.asked
	go call(b.again())
	require.Eventually(t, func() bool { return p.has(schemas.TypeStepProgress) }, time.Minute, time.Millisecond)
	close(h.open)
	require.True(t, (<-ends).Notified)
	require.True(t, (<-ends).Notified)
	call(b.again())
	require.Equal(t, []string{schemas.TypeStepProgress, schemas.TypeStepReplied}, p.types)
}

// TestSoftDeadline_FailedAttempt: the next attempts of the step know that the message is published.
func TestSoftDeadline_FailedAttempt(t *testing.T) {
	t.Parallel()
	b, p := setupSoft(t)
	b.hold = func(context.Context) error {
		require.Eventually(t, func() bool { return p.has(schemas.TypeStepProgress) }, time.Minute, time.Millisecond)
		return fault.New(fault.Connect, "refused")
	}
	_, err := b.call(softInput(t, b, time.Millisecond))
	left := progress(t, err)
	require.True(t, left.Notified)
	require.Positive(t, left.RetryIn)
	require.Equal(t, []string{schemas.TypeStepProgress}, p.types)
}

// TestClosing_FollowsTheReply: conversation.closed is published with the reply that closes the conversation, exactly as the
// workflow would publish it.
func TestClosing_FollowsTheReply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*step.WebhookInput)
		refuse string // the type of reply that NATS does not take
		want   []string
		closed string
	}{
		"last step": {func(*step.WebhookInput) {}, "", []string{schemas.TypeStepReplied, schemas.TypeConversationClosed}, "completed"},
		"step in the middle": {
			func(in *step.WebhookInput) { in.Plan.EndStep = false }, "", []string{schemas.TypeStepReplied}, "",
		},
		"workflow closes":              {func(in *step.WebhookInput) { in.CloseEvent = "" }, "", []string{schemas.TypeStepReplied}, ""},
		"NATS does not take the reply": {func(*step.WebhookInput) {}, schemas.TypeStepReplied, nil, ""},
		"NATS does not take the close": {func(*step.WebhookInput) {}, schemas.TypeConversationClosed, []string{schemas.TypeStepReplied}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := setupSoft(t)
			p.each = func(_ context.Context, replyType string) error {
				if replyType == c.refuse {
					return errors.New("away")
				}
				return nil
			}
			in := softInput(t, b, 20*time.Second)
			in.Plan.EndStep = true
			c.change(&in)
			result, err := b.call(in)
			require.NoError(t, err)
			require.Equal(t, c.closed, result.Closed)
			require.Equal(t, c.want, p.types)
			require.Equal(t, c.refuse != schemas.TypeStepReplied, result.ReplyID != "")
			if c.closed == "" {
				return
			}
			closed, key := p.all[1], in.Plan.WithConversation("c-42")
			require.Equal(t, schemas.ReplyID(key, "e-last", schemas.TypeConversationClosed), closed.ID)
			var data schemas.ConversationClosed
			require.NoError(t, json.Unmarshal(closed.Data, &data))
			require.Equal(t, c.closed, data.Reason)
			require.NotEmpty(t, data.Workflow.RunID)
		})
	}
}

// TestClosing_ReplyOfAnotherAttempt: the reply that stands may leave the conversation open, so that the workflow decides.
func TestClosing_ReplyOfAnotherAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	var types []string
	b.publish = func(r schemas.Reply) error { types = append(types, r.Type); return nil }
	b.stored = &schemas.Reply{Type: schemas.TypeStepReplied, Data: json.RawMessage(`{"outcome":"success","conversation":"open"}`)}
	in := softInput(t, b, 20*time.Second)
	in.Plan.EndStep = true
	result, err := b.call(in)
	require.NoError(t, err)
	require.Empty(t, result.Closed)
	require.Equal(t, []string{schemas.TypeStepReplied}, types)
}
