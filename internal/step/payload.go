package step

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Delivery is the argument of an Update: one event, with the plan of the bot file at its arrival. The history records
// both, so that a reload of the bot file cannot change a running step.
type Delivery struct {
	Event schemas.Event `json:"event"`
	// Plan is the step that the event asks for; nil for events that ask for none.
	Plan *bot.Plan `json:"plan,omitempty"`
	// Adapters are the plans for an event that does not name an adapter, by adapter: a conversation after a handover uses that
	// of the adapter that it was handed to.
	Adapters map[string]bot.Plan `json:"adapters,omitempty"`
	// Refused is the reason why a valid event cannot be served, for example an unknown step.
	Refused *fault.Fault `json:"refused,omitempty"`
	// IdleTimeout is that of the bot when the event arrived; the conversation uses it from then on.
	IdleTimeout bot.Duration `json:"idle_timeout,omitempty"`
	// UsefulUntil is the event's latest useful moment; nil means always useful.
	UsefulUntil *time.Time `json:"useful_until,omitempty"`
	// Size is the size of the event with its plan in bytes, for the run's limits; 0 = unknown (starters of earlier releases).
	Size int `json:"size,omitempty"`
	// Stored is when JetStream stored the event, by its clock; where the event may have been stored before, the event's time.
	// Zero = unknown (starters of earlier releases).
	Stored time.Time `json:"stored,omitzero"`
}

// Since returns the earliest moment at which a reply to the event can be stored. It is the event's own time, which is the
// engine's, only where it is not known when the event was stored.
func (d Delivery) Since() time.Time { return storedOr(d.Stored, d.Event) }

// Format is the set of rules that a run follows. It is fixed when the run starts, so that every release that knows the
// format produces the same commands for it; a run that continues as new changes to the latest.
type Format int

const (
	// FormatLingering is the format of the first runs: they stay open until they are idle, even after a close.
	FormatLingering Format = 0
	// FormatCompleting is the format of runs that complete when their conversation is closed.
	FormatCompleting Format = 1
	// FormatInOrder is the format of runs that take a late answer and its hard deadline in the order of their history.
	FormatInOrder Format = 2
	// FormatAttemptPublishes is the format of runs whose first attempt, as a local activity, publishes all that the engine
	// reads of a step: the progress message, step.replied and conversation.closed.
	FormatAttemptPublishes Format = 3
	// FormatScriptAttempt is the format of runs whose first attempt at a channel's script is a local activity, which has a
	// code worker run it.
	FormatScriptAttempt Format = 4
	// FormatKeepsAccepted is the format of runs that keep what they have accepted: a callback ends its step unless an attempt
	// has an answer; a cancelled run answers the steps that begin to wait while it ends; the run of a background queue
	// publishes that a step was accepted before it publishes its end, and leaves its other steps to the next run when it is
	// cancelled. A run that continues another one knows what the search attributes hold.
	FormatKeepsAccepted Format = 5
	// FormatFailureCloses is the format of runs in which a failure response that names a state of the conversation sets it,
	// and so may close the conversation.
	FormatFailureCloses = FormatKeepsAccepted
	// FormatIdleAfterStep is the format of runs that are idle from the end of their latest step on. The runs before are from
	// its begin on: a step that takes longer than the idle timeout closes their conversation when it ends.
	FormatIdleAfterStep Format = 6
	// FormatLatest is the format of new runs.
	FormatLatest = FormatIdleAfterStep
)

// EventsPerRun is the default for new conversations. The server stores every Update in the record of its run and writes
// that record with every step, so the cost of a step grows with the number of steps before it (docs/benchmarks).
const EventsPerRun = 128

// State is the input of a Conversation: everything that one run passes to the next when it continues as new.
type State struct {
	schemas.ConversationKey

	IdleTimeout bot.Duration `json:"idle_timeout"`

	Open           bool                        `json:"open,omitempty"`      // a step was requested since the latest close
	LastEvent      time.Time                   `json:"last_event,omitzero"` // since when the conversation may be idle
	LastEventID    string                      `json:"last_event_id,omitempty"`
	LastStored     time.Time                   `json:"last_stored,omitzero"` // Delivery.Since of the latest event
	User           schemas.User                `json:"user"`
	ConversationNo int64                       `json:"conversation_no,omitempty"`
	Entities       map[string][]schemas.Entity `json:"entities,omitempty"`
	Variables      map[string]string           `json:"variables,omitempty"`
	Waiting        *Delivery                   `json:"waiting,omitempty"`   // the step that waits for entities
	HandedTo       string                      `json:"handed_to,omitempty"` // the adapter that took the chat over
	Round          string                      `json:"round,omitempty"`     // id of the event that opened the conversation
	Params         map[string]json.RawMessage  `json:"params,omitempty"`    // of the events of the conversation; later ones win
	// ConversationDetails is the conversation's store; nil = never set.
	ConversationDetails json.RawMessage `json:"details,omitempty"`

	// EventsPerRun is the number of events of a run before it continues as new; 0 = when the server suggests it, which is much
	// later (runs of early releases).
	EventsPerRun int `json:"events_per_run,omitempty"`

	Format Format `json:"format,omitempty"`

	Seen   []string `json:"seen,omitempty"`   // ids of the latest events, oldest first
	Recent []Recent `json:"recent,omitempty"` // the latest steps, oldest first, for the UI

	Steps       int             `json:"steps,omitempty"` // that ended in this conversation
	LastOutcome schemas.Outcome `json:"last_outcome,omitempty"`
	Failed      int             `json:"failed,omitempty"`   // how many of the steps failed
	Failures    []Recent        `json:"failures,omitempty"` // the latest of those, oldest first
}

// NewState returns the state with which a new run of a conversation starts.
func NewState(key schemas.ConversationKey, idle bot.Duration) State {
	return State{ConversationKey: key, IdleTimeout: idle, EventsPerRun: EventsPerRun, Format: FormatLatest}
}

// ConversationResult is the result of a completed run of a conversation. A starter recognises a redelivered event by
// EventIDs; the other members are for the Temporal UI.
type ConversationResult struct {
	Steps       int             `json:"steps"` // that ended
	LastOutcome schemas.Outcome `json:"last_outcome,omitempty"`
	Closed      bool            `json:"closed"` // false: the run was idle, and no conversation was open
	Reason      string          `json:"reason"` // as hookturn.conversation.closed has it
	Failures    []Recent        `json:"failures,omitempty"`
	EventIDs    []string        `json:"event_ids"` // the latest events, oldest first
}

// Recent is one line of the table of the latest steps in the Temporal UI.
type Recent struct {
	At       time.Time       `json:"at"`
	Step     string          `json:"step"`
	Outcome  schemas.Outcome `json:"outcome"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	Millis   int64           `json:"ms"`
	UserText string          `json:"user_text,omitempty"` // the text shown to the user when the step failed
}

// Request is the input of the Step workflow: one unordered step.
type Request struct {
	schemas.ConversationKey

	Delivery Delivery `json:"delivery,omitzero"`
	// Script is a script run for a channel instead of a step of the bot; all other members are then empty.
	Script *ScriptRun `json:"script,omitempty"`
	Format Format     `json:"format,omitempty"`
}

// Result is the result of an Update and of a Step workflow, as the Temporal UI shows it.
type Result struct {
	Outcome  schemas.Outcome `json:"outcome,omitempty"` // empty when the event ended no step
	Waiting  []string        `json:"waiting,omitempty"` // missing mandatory entities
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	ReplyID  string          `json:"reply_id,omitempty"`
	Closed   string          `json:"closed,omitempty"`    // why the conversation was closed by this event
	UserText string          `json:"user_text,omitempty"` // the text shown to the user when the step failed
	Script   *ScriptResult   `json:"script,omitempty"`    // of a channel's script
}

// WebhookInput is the input of the webhook activity: the step and the attempts that were made before.
type WebhookInput struct {
	Plan           bot.Plan                    `json:"plan"`
	Event          schemas.Event               `json:"event"`
	User           schemas.User                `json:"user"`
	ConversationNo int64                       `json:"conversation_no,omitempty"`
	Entities       map[string][]schemas.Entity `json:"entities,omitempty"`
	Variables      map[string]string           `json:"variables,omitempty"`
	// ConversationDetails is the conversation's store before the step.
	ConversationDetails json.RawMessage `json:"details,omitempty"`
	// Params are those of earlier events of the conversation's round; the event's own parameters have priority.
	Params map[string]json.RawMessage `json:"params,omitempty"`
	// Round is the id of the event that opened this round of the conversation; "" = not known.
	Round    string    `json:"round,omitempty"`
	Deadline time.Time `json:"deadline"` // of the step: no attempt goes on after it
	// Accepted is when the step began, by the server's clock. The user details of a later step are not overwritten by those of
	// an earlier one.
	Accepted time.Time `json:"accepted,omitzero"`
	// Arrived is when the event that made the step run was accepted: before Accepted when the step waited for its turn. Zero =
	// unknown (runs of earlier releases). For the metrics only.
	Arrived time.Time `json:"arrived,omitzero"`
	// Stored is that of the event's Delivery.
	Stored time.Time `json:"stored,omitzero"`
	// UsefulUntil is that of the event's Delivery, for a step in a background queue: no request is made after it. nil =
	// always useful, or the step is not queued.
	UsefulUntil *time.Time `json:"useful_until,omitempty"`
	// Left is the time until Deadline when the activity is scheduled: an activity cannot compare Deadline with the clock of
	// its own machine. 0 = unknown.
	Left time.Duration `json:"left,omitempty"`
	// Progress is that of the attempts before this activity; a retry of the activity itself has its own.
	Progress Progress `json:"progress"`
	// Reply requests that the activity also publishes step.replied, which saves a separate activity.
	Reply bool `json:"reply,omitempty"`
	// Notify requests that the activity publishes the progress message at the soft deadline.
	Notify bool `json:"notify,omitempty"`
	// CloseEvent is the id of the event under which conversation.closed is published together with a reply that closes the
	// conversation; "" leaves that to the workflow.
	CloseEvent string `json:"close_event,omitempty"`
	// FailureCloses reports whether the state of the conversation that a failure response names counts: false in runs before
	// FormatFailureCloses, which leave the conversation open.
	FailureCloses bool `json:"failure_closes,omitempty"`
}

// TraceID is the trace of the event of the step.
func (in WebhookInput) TraceID() string { return in.Event.TraceID(in.Plan.BotID) }

// Since is that of the event's Delivery.
func (in WebhookInput) Since() time.Time { return storedOr(in.Stored, in.Event) }

// Progress is the state that is kept after a failed attempt. Temporal keeps only the last failure of an activity, so the
// attempts are passed as data: in heartbeats between the attempts of one activity, in error details between activities.
type Progress struct {
	Attempts []schemas.Attempt `json:"attempts,omitempty"`
	// UserDetails is the user's store as the first attempt read it: every attempt of a step sends the same bytes.
	UserDetails json.RawMessage `json:"user_details,omitempty"`
	// Read reports whether UserDetails was read: it distinguishes an absent store from one that was not read yet.
	Read bool `json:"read,omitempty"`
	// RetryIn is the delay before the next attempt, jitter included; 0 = no further attempt.
	RetryIn time.Duration `json:"retry_in,omitempty"`
	// Fault is why the last attempt failed.
	Fault *fault.Fault `json:"fault,omitempty"`
	// Held reports whether the latest try of a background step ended because its endpoint is paused. The step's time starts
	// when the next try begins.
	Held bool `json:"held,omitempty"`
	// Waited is how much of the time since the activity was scheduled does not count as the step's: a background step waited
	// for a worker, or for an endpoint that was paused.
	Waited time.Duration `json:"waited,omitempty"`
	// Running is the attempt in progress at the latest heartbeat. When a retry in another process finds it there, its
	// worker was lost and its outcome is unknown.
	Running *schemas.Attempt `json:"running,omitempty"`
	// NotBegun reports whether the activity failed before its script began. If false, the script may have begun.
	NotBegun bool `json:"not_begun,omitempty"`
	// Notified reports whether the progress message of the step is published.
	Notified bool `json:"notified,omitempty"`
	// Replied reports whether the reply of the step is stored: Fault is the end of the step that the engine has read.
	Replied bool `json:"replied,omitempty"`
	// HeartbeatTimeout is that of the activity that makes the next attempts, by the load of the worker of the first one.
	HeartbeatTimeout time.Duration `json:"heartbeat_timeout,omitempty"`
}

// Final reports whether the latest attempt ended the step. A try of the activity that finds this in the heartbeats of the
// one before makes no attempt: what that one reported to the server was lost.
func (p Progress) Final() bool { return p.Fault != nil && p.Running == nil && p.RetryIn <= 0 }

// CountLost returns the progress with the attempt in progress among the attempts, for one whose worker was lost: it was
// made, and its outcome is unknown.
func (p Progress) CountLost() Progress {
	if p.Running == nil {
		return p
	}
	lost := *p.Running
	lost.Error = string(fault.OutcomeUnknown)
	p.Attempts, p.Running = append(slices.Clip(p.Attempts), lost), nil
	return p
}

// WebhookResult is the endpoint's answer, as its dialect decoded it, and how the activity got it.
type WebhookResult struct {
	dialect.Answer

	// CallsBack reports that the endpoint answered 202 and will send its answer to the gateway.
	CallsBack   bool              `json:"calls_back,omitempty"`
	UserDetails json.RawMessage   `json:"user_details,omitempty"` // the user's store after the step
	Attempts    []schemas.Attempt `json:"attempts,omitempty"`
	// ReplyID is the id of step.replied when it is published; "" leaves that to the workflow.
	ReplyID string `json:"reply_id,omitempty"`
	// Wrote is what the attempt has stored of the user's details; only when the workflow publishes the reply.
	Wrote *UserWrite `json:"wrote,omitempty"`
	// Closed is the reason of conversation.closed when it is published; "" leaves that to the workflow.
	Closed string `json:"closed,omitempty"`
	// Notified reports whether the progress message of the step is published.
	Notified bool `json:"notified,omitempty"`
	// Replied is that of the Progress of a step that failed.
	Replied bool `json:"replied,omitempty"`
	// AsActivity reports whether no attempt was made because the endpoint is slow: a normal activity makes the first one.
	AsActivity bool `json:"as_activity,omitempty"`
	// HeartbeatTimeout is that of this activity, by the load of the worker.
	HeartbeatTimeout time.Duration `json:"heartbeat_timeout,omitempty"`
}

// CodeResult is the result of a script. A failed script is a result, not a failure of the activity.
type CodeResult struct {
	WebhookResult

	Fault *fault.Fault `json:"fault,omitempty"` // why the step failed; nil = it did not
	Log   string       `json:"log,omitempty"`   // what the script wrote, for the bot's builder
}

// Callback is the argument of UpdateCallback: what an endpoint posted for the step of an event.
type Callback struct {
	EventID string          `json:"event_id"`
	Body    json.RawMessage `json:"body,omitempty"` // absent when it was empty
}

// AnswerInput is the input of ActivityAnswer.
type AnswerInput struct {
	Webhook WebhookInput    `json:"webhook"`        // the step that was called, its attempts included
	Body    json.RawMessage `json:"body,omitempty"` // absent when it was empty
}

// TraceID is the trace of the event of the step.
func (in AnswerInput) TraceID() string { return in.Webhook.TraceID() }

// Queued is one step in a background queue.
type Queued struct {
	Sequence     uint64       `json:"sequence,omitempty"` // of the queue's stream; 0 = the queue is empty
	Entry        string       `json:"entry,omitempty"`    // id of its message in the stream; "" = unknown (earlier releases)
	Conversation string       `json:"conversation"`
	Webhook      WebhookInput `json:"webhook"`
	// Workflow is the run that accepts the step with a reply to its event. Empty = no reply (events about sessions), or
	// unknown (runs before FormatKeepsAccepted).
	Workflow schemas.WorkflowRef `json:"workflow,omitzero"`
}

// TraceID is the trace of the event of the step.
func (q Queued) TraceID() string { return q.Webhook.TraceID() }

// QueueEntry is the second argument of ActivityQueueDone, which earlier releases do not pass: the queue of the step that was
// worked on, and the id of its entry. A stream that was created again may have another entry under its sequence.
type QueueEntry struct {
	schemas.BotID

	Step string `json:"step"`
	ID   string `json:"id,omitempty"` // "" = unknown
}

// Queue is the input of the Queue workflow.
type Queue struct {
	schemas.BotID

	Step   string `json:"step"`
	Format Format `json:"format,omitempty"`
}

// PublishInput is the input of the publishing activity.
type PublishInput struct {
	schemas.BotID

	Reply schemas.Reply `json:"reply"`
	// Wrote is what the step's attempt wrote to the user's details, to be undone when another attempt's reply stands.
	Wrote *UserWrite `json:"wrote,omitempty"`
	// Timing is that of step.replied; nil = unknown (runs of earlier releases).
	Timing *Timing `json:"timing,omitempty"`
	// Closing is the conversation.closed that follows the reply; nil = none.
	Closing *schemas.Reply `json:"closing,omitempty"`
	// Withheld reports that the reply must not be published: it precedes the one reply that a repeated step has.
	Withheld bool `json:"withheld,omitempty"`
	// Sent is the earliest moment at which the reply can be stored: Delivery.Since of the event that it answers, or when the
	// event was accepted where the reply is shared; the zero time = unknown.
	Sent time.Time `json:"sent,omitzero"`
	// Shared reports that another run publishes the same reply: it is looked for first, since Sent. Runs of background
	// queues share the reply by which a step is accepted.
	Shared bool `json:"shared,omitempty"`
	// Replied reports that the reply is stored: it is looked for until NATS answers, and published where it is lost.
	Replied bool `json:"replied,omitempty"`
	// Began is when the step whose attempt publishes the reply began, by the server's clock; the zero time where the workflow
	// publishes it, whose time is that of the reply.
	Began time.Time `json:"-"`
}

// TraceID is the trace of the event that the reply answers.
func (in PublishInput) TraceID() string {
	var of struct {
		EventID string `json:"event_id"`
	}
	if in.Reply.TraceParent == "" {
		_ = json.Unmarshal(in.Reply.Data, &of) // not about an event: no trace
	}
	return schemas.TraceIDOf(in.Reply.TraceParent, in.WithConversation(in.Reply.Subject), of.EventID)
}

// Published is the result of the publishing activity; nil when there is nothing to report.
type Published struct {
	Stored *schemas.StepReplied `json:"stored,omitempty"` // the step.replied that was stored before
	Closed bool                 `json:"closed,omitempty"` // the input's Closing is published
}
