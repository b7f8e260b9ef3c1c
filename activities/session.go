package activities

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// The router's own events about a session, in the vendor's spelling of the last one.
const (
	sessionStarted    = "RouterSessionStarted"
	sessionHandedOver = "RouterSessionHandedOver"
	sessionEnded      = "RouterSessionEnded"
	sessionPrefix     = "RouterSession"
)

// Sessions keep which adapters take part in the session of a conversation. *store.Sessions is one.
type Sessions interface {
	Get(ctx context.Context, of schemas.ConversationKey) (store.Session, error)
	Put(ctx context.Context, of schemas.ConversationKey, s store.Session) (stored bool, err error)
}

// session is one round of a conversation, from its first event for an adapter to its close. The events about it wait in a
// background queue of each adapter that takes part, so that they are delivered in order and survive restarts. Conversations
// share a few queues, so that none of them waits for all the others.
type session struct {
	Round    string              `json:"round"`
	Adapters []step.WebhookInput `json:"adapters"` // an event for each of them is made from these
}

func (s session) has(adapter string) bool {
	return slices.ContainsFunc(s.Adapters, func(in step.WebhookInput) bool { return in.Plan.Adapter.Name == adapter })
}

// sessionQueue is the name, before the hex digit of the conversation, of the queues of an adapter's events about sessions.
func sessionQueue(adapter string) string { return adapter + "-session-" }

// joinSession lets the adapter of a request take part in the session, and begins it when the request is the first of its
// round. The request is worth making without it.
func (c *call) joinSession(ctx context.Context) {
	in := c.in
	if c.Sessions == nil || in.Plan.Adapter == nil || in.Plan.Adapter.Events == "" || in.Round == "" || aboutSession(in.Event) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, step.AnnounceTimeout)
	defer cancel()
	if err := c.join(ctx, in); err != nil {
		c.Log.WarnContext(ctx, "adapter may miss events of its session", "event", in.Event.ID, "adapter", in.Plan.Step,
			"error", err)
	}
}

// aboutSession reports whether an event of the engine is itself one about the session.
func aboutSession(e schemas.Event) bool {
	var event struct {
		Type string `json:"type"`
	}
	return e.Type == schemas.TypeConversationEvent && json.Unmarshal(e.Data.Event, &event) == nil &&
		strings.HasPrefix(event.Type, sessionPrefix)
}

// join adds an adapter to the stored session. An earlier round that was not closed, because it was idle, ends now. An
// attempt of a worker that was paused while a later step joined or ended a session changes nothing. The events are queued
// before the session is stored: a repetition finds them in the queue by their ids.
func (a *Activities) join(ctx context.Context, in step.WebhookInput) error {
	key, fence := in.Plan.BotID.WithConversation(in.Event.Subject), stepFence(in)
	for {
		s, at, err := a.readSession(ctx, key)
		live := s.Round == in.Round
		if err != nil || live && s.has(in.Plan.Adapter.Name) {
			return err
		}
		if !live && at.Older(fence) {
			a.Log.InfoContext(ctx, "session of a later step kept", "event", in.Event.ID, "adapter", in.Plan.Step)
			return nil
		}
		if !live {
			if err := a.announce(ctx, s, sessionEnded, "", schemas.ClosedIdle); err != nil {
				return err
			}
			s = session{Round: in.Round}
		}
		own := sessionInput(in)
		if err := a.announce(ctx, session{in.Round, []step.WebhookInput{own}}, sessionStarted, "", ""); err != nil {
			return err
		}
		s.Adapters = append(s.Adapters, own)
		if at.Data, err = schemas.Marshal(s); err != nil {
			return err
		}
		at.Fence = max(at.Fence, fence)
		if stored, err := a.Sessions.Put(ctx, key, at); stored || err != nil {
			return err
		}
	}
}

func (a *Activities) readSession(ctx context.Context, key schemas.ConversationKey) (s session, at store.Session, err error) {
	at, err = a.Sessions.Get(ctx, key)
	if err == nil && len(at.Data) > 0 {
		err = json.Unmarshal(at.Data, &s)
	}
	return s, at, err
}

// sessionInput is what the session needs of a request: who talks to whom, and the adapter's events endpoint.
func sessionInput(in step.WebhookInput) step.WebhookInput {
	adapter, hook := *in.Plan.Adapter, *in.Plan.Webhook
	sum := sha256.Sum256([]byte(in.Event.Subject))
	hook.URL, hook.Headers, adapter.Events, adapter.Body = adapter.Events, nil, "", ""
	hook.Mode = bot.ModeBackground // the engine did not send the event, so it gets no reply to it
	return step.WebhookInput{
		Plan: bot.Plan{
			BotID: in.Plan.BotID, Step: fmt.Sprintf("%s%x", sessionQueue(adapter.Name), sum[0]>>4), Dialect: in.Plan.Dialect,
			Revision: in.Plan.Revision, OnFailure: in.Plan.OnFailure, Adapter: &adapter, Webhook: &hook,
		},
		Event: schemas.Event{
			SpecVersion: in.Event.SpecVersion, Source: in.Event.Source, Subject: in.Event.Subject,
			Type: schemas.TypeConversationEvent, Data: schemas.EventData{Params: in.Event.Data.Params}, // with the names of the chat
		},
		User: in.User, ConversationNo: in.ConversationNo, Round: in.Round,
	}
}

// announce queues an event about a session for each adapter that takes part. Its id is a function of the round, the kind and
// the adapter, and of the event behind it when a round can have several.
func (a *Activities) announce(ctx context.Context, s session, kind, cause, reason string) error {
	for _, in := range s.Adapters {
		event := map[string]string{"type": kind}
		if reason != "" {
			event["reason"] = reason
		}
		data, err := schemas.Marshal(event)
		if err != nil {
			return err
		}
		id := s.Round
		if cause != "" {
			id = cause
		}
		in.Event.ID, in.Event.Time, in.Event.Data.Event = id+"/"+kind+"/"+in.Plan.Adapter.Name, time.Now().UTC(), data
		err = a.enqueue(ctx, step.Queued{Conversation: in.Event.Subject, Webhook: in}, a.Queues.Add)
		if app, ok := errors.AsType[*temporal.ApplicationError](err); ok && app.NonRetryable() {
			continue // the queue is full: Enqueue has logged it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// announceHandover announces to the adapters of a session that a handover was delivered.
func (c *call) announceHandover(ctx context.Context) {
	if c.Sessions == nil || c.in.Event.Type != schemas.TypeConversationHandover || c.in.Round == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, step.AnnounceTimeout)
	defer cancel()
	s, _, err := c.readSession(ctx, c.in.Plan.BotID.WithConversation(c.in.Event.Subject))
	if err == nil && s.Round == c.in.Round {
		err = c.announce(ctx, s, sessionHandedOver, c.in.Event.ID, "")
	}
	if err != nil {
		c.Log.WarnContext(ctx, "adapters may miss the handover of their session", "event", c.in.Event.ID, "error", err)
	}
}

// endSession ends the session of a conversation that was closed, unless a later step has begun another one.
func (a *Activities) endSession(ctx context.Context, in step.PublishInput) error {
	if a.Sessions == nil || in.Reply.Type != schemas.TypeConversationClosed || !a.MayHaveSessions(in.BotID) {
		return nil
	}
	var closed schemas.ConversationClosed
	if err := json.Unmarshal(in.Reply.Data, &closed); err != nil {
		return err
	}
	key, fence := in.BotID.WithConversation(in.Reply.Subject), closeFence(in)
	for {
		s, at, err := a.readSession(ctx, key)
		if err != nil || s.Round == "" {
			return err
		}
		if at.Older(fence) {
			a.Log.InfoContext(ctx, "session of a later step kept", "tenant", in.Tenant, "bot", in.Bot, "reply", in.Reply.ID)
			return nil
		}
		if err := a.announce(ctx, s, sessionEnded, "", closed.Reason); err != nil {
			return err
		}
		at.Data, at.Fence = nil, max(at.Fence, fence)
		if stored, err := a.Sessions.Put(ctx, key, at); stored || err != nil {
			return err
		}
	}
}

// closeFence orders the close of a conversation among its steps, by the server's clock: behind all tries of the step that
// closes it, one of which may be paused, else at its own time, which is the workflow's. Like a step, it is not before its
// event was stored.
func closeFence(in step.PublishInput) int64 {
	closed := in.Reply.Time
	switch {
	case !in.Began.IsZero():
		return in.Began.UnixNano() + triesOrdered + 1
	case closed.IsZero():
		return 0
	case in.Sent.After(closed):
		return in.Sent.UnixNano() + triesOrdered + 1
	}
	return closed.UnixNano()
}

// aboutSessions reports whether a reply is the end of a delivery that hookturn itself asked for. The engine does not know
// its event, so the end is logged.
func (a *Activities) aboutSessions(ctx context.Context, in step.PublishInput) bool {
	var late schemas.StepReplied
	if a.Sessions == nil || in.Reply.Type != schemas.TypeStepLate || json.Unmarshal(in.Reply.Data, &late) != nil {
		return false
	}
	parts := strings.Split(late.EventID, "/")
	adapter := parts[len(parts)-1]
	if len(parts) < 3 || !strings.HasPrefix(late.Step, sessionQueue(adapter)) ||
		!slices.Contains([]string{sessionStarted, sessionHandedOver, sessionEnded}, parts[len(parts)-2]) {
		return false
	}
	level := slog.LevelDebug
	if late.Outcome != schemas.OutcomeSuccess {
		level = slog.LevelWarn
	}
	a.Log.Log(ctx, level, "event about a session delivered", "tenant", in.Tenant, "bot", in.Bot, "adapter", adapter,
		"event", late.EventID, "outcome", late.Outcome, "attempts", len(late.Attempts))
	return true
}
