// Package activities does what the workflows decide: it calls webhooks, runs scripts, publishes replies, and keeps users,
// chats, sessions and background queues. A partner's JSON is internal/dialect's, a signature internal/signature's, an HTTP
// request internal/egress's, a NATS message internal/bus's.
//
// Activities may run twice when a worker dies; each is made for that. A webhook sends the same bytes under the same
// webhook-id, a script that may have begun is not run again (once.go, internal/codeworker), a reply has an id by which
// JetStream stores it once, and what is kept has a fence or a revision that rejects the older writer.
package activities

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/lru"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Activities holds what the activities use. Fields whose comment does not name what nil means are required.
type Activities struct {
	Bots      Bots
	Dialects  dialect.Set
	HTTP      HTTP
	Limits    Limits
	Tokens    Tokens
	Users     Users
	Chats     Chats
	Publisher Publisher
	Queues    Queues
	Wake      Wake
	// StartQueue is Wake for a queue with earlier entries: a run that works on them needs no signal.
	StartQueue Wake
	// Sessions keep the sessions of adapters; nil: no events about sessions.
	Sessions Sessions
	// MayHaveSessions reports whether the sessions of a bot are read when a conversation ends: it has an adapter that
	// gets events about them, or this worker does not know the bot. Required with Sessions.
	MayHaveSessions func(id schemas.BotID) bool
	// CodeWorkers run the first attempts at scripts of channels; nil: each script is an activity.
	CodeWorkers *codeworker.Client
	Callbacks   Callbacks // nil: endpoints cannot call back, because the address of the gateway is not set
	// Heartbeat sends a heartbeat of an activity, and returns once the server has stored it. client.Client has it under the
	// name RecordActivityHeartbeat.
	Heartbeat func(ctx context.Context, taskToken []byte, details ...any) error
	// ReportTime returns how long the Temporal server takes to store a report of this worker; nil: not measured.
	ReportTime func() time.Duration
	Log        *slog.Logger
	Metrics    *telemetry.Metrics // nil: nothing is counted
	Traces     *telemetry.Traces  // nil: no spans

	attempts       flight.Group[attempted]
	scriptAttempts flight.Group[step.ScriptAttempt]
	heartbeats     heartbeats
	runs           runs
	// queuedBefore are the runs that another worker may have put a step into a background queue for, and this one did not yet.
	queuedBefore lru.Map[string, struct{}]
}

// Bots are the bot files as they are and as they were, for the secrets that steps name. *bot.Store is one.
type Bots interface {
	// Secrets returns all valid values of a secret, newest first, as the bot file of a revision means it. An error is not
	// final.
	Secrets(id schemas.BotID, revision, name string) ([]secret.Value, error)
}

// HTTP sends one request through the egress client. *egress.Client is one.
type HTTP interface {
	Do(ctx context.Context, r egress.Request) (*egress.Response, schemas.Attempt, error)
}

// Users is the store of user_details, which outlives conversations. *store.Users is one.
type Users interface {
	Get(ctx context.Context, tenant, userID string) (json.RawMessage, error)
	// Update merges an update. Of its members those are left out that a later step has written.
	Update(ctx context.Context, tenant, userID string, w store.UserUpdate) (store.UserDetails, error)
	// Undo sets members to other values where a write with this writer is still the latest one to them, and has NATS reject a
	// write that is still on its way. Details that it cannot read are store.ErrUnreadable.
	Undo(ctx context.Context, tenant, userID, writer string, members map[string]json.RawMessage) error
	// Settle makes members those of the reply that stands, where another attempt of its step wrote them last.
	Settle(ctx context.Context, tenant, userID string, details json.RawMessage, writer string) error
}

// Chats remember which conversation a chat of a TwoWay router belongs to. *store.Chats is one.
type Chats interface {
	Remember(ctx context.Context, owner schemas.BotID, chat, conversation string, fence int64) (current string, err error)
}

// Limits bound the requests to an endpoint. *limit.Limiter is the implementation.
type Limits interface {
	Acquire(r limit.Request) (*limit.Permit, *fault.Fault)
	Check(r limit.Request) *fault.Fault
	// Slow reports whether a request to an endpoint is likely to take long.
	Slow(e limit.Endpoint) bool
}

// Callbacks say where an endpoint may answer later. *signedurl.Callbacks is one.
type Callbacks interface {
	// URL is a one-time address for the step of an event in a workflow; only this installation can make one, and it
	// expires with the step.
	URL(workflow, event string, until time.Time) string
}

// Publisher puts a reply on NATS and returns once JetStream has stored it. *bus.Replies is one.
type Publisher interface {
	// Publish returns the stored reply of the same id when there was one before, nil when there was none.
	Publish(ctx context.Context, owner schemas.BotID, reply schemas.Reply) (before *schemas.Reply, err error)
	// Find returns the reply of an id in a conversation, published since a moment; nil when there is none.
	Find(ctx context.Context, of schemas.ConversationKey, id string, since time.Time) (*schemas.Reply, error)
}

// Register registers every activity under its contract name.
func (a *Activities) Register(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(a.CallWebhook, activity.RegisterOptions{Name: step.ActivityWebhook})
	r.RegisterActivityWithOptions(a.PublishReply, activity.RegisterOptions{Name: step.ActivityPublish})
	r.RegisterActivityWithOptions(a.ReadAnswer, activity.RegisterOptions{Name: step.ActivityAnswer})
	r.RegisterActivityWithOptions(a.Enqueue, activity.RegisterOptions{Name: step.ActivityEnqueue})
	r.RegisterActivityWithOptions(a.ReadQueueHead, activity.RegisterOptions{Name: step.ActivityQueueHead})
	r.RegisterActivityWithOptions(a.RemoveQueueHead, activity.RegisterOptions{Name: step.ActivityQueueDone})
	r.RegisterActivityWithOptions(a.AttemptScript, activity.RegisterOptions{Name: step.ActivityAttemptScript})
}
